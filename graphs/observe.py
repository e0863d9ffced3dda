"""A run seen from outside: LangGraph's custom stream, run metadata for tracers, OpenTelemetry spans.

Nothing is sent anywhere by this: a stream, a tracer or an exporter that somebody has switched on gets it. Metadata and spans
hold names and numbers, never a task, an answer or feedback.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.tracers.base import BaseTracer
from langgraph.config import get_config, get_stream_writer
from langgraph.errors import GraphBubbleUp

trace: ModuleType | None
try:
    from opentelemetry import trace
except ImportError:  # it is not a dependency of ours
    trace = None

Fact = str | bool | int | float | Sequence[str] | Sequence[float]


def emit(event: str, facts: Mapping[str, Fact | None] | None = None, **values: Any) -> None:
    """Puts `{"type": "skill_plugin.<event>", **values}` on LangGraph's custom stream; nothing outside a graph.

    Args:
        event: What happened.
        facts: What tracers show of it: `skill_plugin_<key>` in the metadata of the node's run and of its trace's root, and
            `skill_plugin.<key>` on the node's span. None is left out.
        **values: What the stream shows.
    """
    if facts:
        known = {key: value for key, value in facts.items() if value is not None}
        for run in _runs():
            run.add_metadata({f"skill_plugin_{key}": value for key, value in known.items()})
        if trace is not None:
            trace.get_current_span().set_attributes({f"skill_plugin.{key}": value for key, value in known.items()})
    try:
        write = get_stream_writer()
    except RuntimeError:
        return
    write({"type": f"skill_plugin.{event}", **values})


@contextmanager
def span(name: str) -> Iterator[None]:
    """Opens an OpenTelemetry span `skill_plugin.<name>`, where opentelemetry-api is installed; an error shows its class only."""
    if trace is None or isinstance(
        trace.get_tracer_provider(), trace.ProxyTracerProvider
    ):  # nobody has asked for spans
        yield
        return
    tracer = trace.get_tracer("skill_plugin")
    with tracer.start_as_current_span(
        f"skill_plugin.{name}", record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except GraphBubbleUp:  # an interrupt is not an error
            raise
        except Exception as exc:
            current.set_status(trace.Status(trace.StatusCode.ERROR, type(exc).__name__))
            raise


def watched() -> bool:
    """Returns whether anybody would see a fact: worth asking before one that costs a look into the store."""
    return any(True for _ in _runs()) or (trace is not None and trace.get_current_span().is_recording())


def _runs() -> Iterable[Any]:
    """Yields the node's run and the root of its trace, at every tracer of the graph that is running."""
    try:
        callbacks = get_config().get("callbacks")
    except RuntimeError:
        return
    if not isinstance(callbacks, BaseCallbackManager) or callbacks.parent_run_id is None:
        return
    for handler in callbacks.handlers:
        if isinstance(handler, BaseTracer):
            run = root = handler.run_map.get(str(callbacks.parent_run_id))
            while root is not None and (above := handler.run_map.get(str(root.parent_run_id))) is not None:
                root = above
            yield from [run] if run is root else [run, root]
