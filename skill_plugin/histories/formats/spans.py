"""OpenTelemetry's spans in one form, whichever exporter wrote them.

OTLP as JSON (`resourceSpans`, `resourceLogs`), one span a row (`ConsoleSpanExporter` in Python and JavaScript), and tables of spans
with columns such as `attributes.input.value` (Phoenix).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from skill_plugin.histories.fields import first, moment, name_of, text_of

DEPTH = 20
"""Levels of names and values that are told apart; what lies deeper is one name, or a text."""

_ROWS = ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs")
_COLUMN = "attributes."
_ANY_VALUE = ("string", "int", "double", "bool", "bytes")

Attributes = dict[str, Any]
"""Attributes as a tree: `gen_ai.usage.input_tokens` is `["gen_ai"]["usage"]["input_tokens"]`."""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """An event of a span: its name and attributes; `trace_id` and `span_id` where it was written as a log record."""

    name: str
    attributes: Attributes
    trace_id: str = ""
    span_id: str = ""


@dataclass(slots=True)
class Span:
    """A span. `error` says why its operation failed; `service` names the program; `where` is `file:line`."""

    trace_id: str
    span_id: str
    parent_id: str | None
    attributes: Attributes
    events: list[SpanEvent]
    start: datetime | None
    end: datetime | None
    error: str | None
    service: str | None
    where: str
    children: list["Span"] = field(default_factory=list)


def holds_spans(value: Mapping[str, Any]) -> bool:
    """Returns whether a row is spans or their log records."""
    return any(isinstance(value.get(key), list) for key in _ROWS) or (_is_span(value) and "run_type" not in value)


def spans_in(value: Mapping[str, Any], where: str) -> Iterator[Span | SpanEvent]:
    """Yields the spans of a row, and the events that it holds as log records."""
    if _is_span(value):
        yield _span(value, where, name_of(at(_attributes(value.get("resource")), "service.name")))
        return
    for resource in _mappings(first(value, "resourceSpans", "resource_spans")):
        service = name_of(at(_attributes(resource.get("resource")), "service.name"))
        for scope in _mappings(first(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans")):
            for span in _mappings(scope.get("spans")):
                if _is_span(span):
                    yield _span(span, where, service)
    for resource in _mappings(first(value, "resourceLogs", "resource_logs")):
        for scope in _mappings(first(resource, "scopeLogs", "scope_logs")):
            yield from map(_record, _mappings(first(scope, "logRecords", "log_records")))


def at(tree: Any, path: str) -> Any:
    """Returns what lies at `a.b.c`; None if nothing does. A name that also has names below it is its own value."""
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree.get("") if isinstance(tree, Mapping) and "" in tree else tree


def items(value: Any) -> list[Mapping[str, Any]]:
    """Returns the objects of a list; also of one that was written as `a.0.x`, `a.1.x`."""
    if isinstance(value, Mapping):
        numbers = sorted((name for name in value if name.isdecimal()), key=lambda name: (len(name), name))
        value = [value[name] for name in numbers]
    return _mappings(value)


def _is_span(value: Mapping[str, Any]) -> bool:
    return bool(_id(value, "trace") and _id(value, "span")) and (
        "attributes" in value or any(str(key).startswith(_COLUMN) for key in value)
    )


def _id(value: Mapping[str, Any], kind: str) -> str | None:
    """Returns the id of a trace or span: hexadecimal digits, without the `0x` that some put in front."""
    context = first(value, "context", "spanContext")
    names = (f"{kind}_id", f"{kind}Id", f"context.{kind}_id")
    found = first(value, *names) or (first(context, *names) if isinstance(context, Mapping) else None)
    if found is None and kind == "span" and "traceId" in value:  # JavaScript's console
        found = value.get("id")
    return found.lower().removeprefix("0x") or None if isinstance(found, str) else None


def _span(value: Mapping[str, Any], where: str, service: str | None) -> Span:
    parent = first(value, "parent_id", "parentSpanId", "parent_span_id", "parentId")
    if parent is None and isinstance(above := value.get("parentSpanContext"), Mapping):
        parent = above.get("spanId")
    events = [
        SpanEvent(str(one.get("name")), _attributes(one), trace_id="", span_id="")
        for one in _mappings(value.get("events"))
    ]
    return Span(
        trace_id=_id(value, "trace") or "",
        span_id=_id(value, "span") or "",
        parent_id=parent.lower().removeprefix("0x") or None if isinstance(parent, str) else None,
        attributes=_attributes(value),
        events=events,
        start=_moment(first(value, "start_time", "startTimeUnixNano", "start_time_unix_nano")),
        end=_moment(first(value, "end_time", "endTimeUnixNano", "end_time_unix_nano")),
        error=_error(value, events),
        service=service,
        where=where,
    )


def _record(value: Mapping[str, Any]) -> SpanEvent:
    attributes = _attributes(value)
    name = first(value, "eventName", "event_name") or at(attributes, "event.name")
    return SpanEvent(str(name), attributes, trace_id=_id(value, "trace") or "", span_id=_id(value, "span") or "")


def _attributes(value: Any) -> Attributes:
    """Returns the attributes of a span, an event, a record or a resource."""
    if not isinstance(value, Mapping):
        return {}
    given = value.get("attributes")
    if isinstance(given, list):
        given = {str(one["key"]): _plain(one.get("value")) for one in _mappings(given) if "key" in one}
    elif not isinstance(given, Mapping):
        given = {
            str(key).removeprefix(_COLUMN): one
            for key, one in value.items()
            if str(key).startswith(_COLUMN) and one is not None
        }
    return _tree(given)


def _plain(value: Any, depth: int = 0) -> Any:
    """Returns the value of OTLP's `{"stringValue": "..."}`."""
    if not isinstance(value, Mapping):
        return value
    for kind in _ANY_VALUE:
        found = first(value, f"{kind}Value", f"{kind}_value")
        if found is not None:
            return int(found) if kind == "int" and isinstance(found, str) and found[:20].isdecimal() else found
    if depth >= DEPTH:
        return text_of(value)
    listed, paired = first(value, "arrayValue", "array_value"), first(value, "kvlistValue", "kvlist_value")
    if isinstance(listed, Mapping):
        inner = listed.get("values")
        return [_plain(one, depth + 1) for one in inner] if isinstance(inner, list) else []
    if isinstance(paired, Mapping):
        pairs = _mappings(paired.get("values"))
        return {str(one["key"]): _plain(one.get("value"), depth + 1) for one in pairs if "key" in one}
    return None


def _tree(attributes: Mapping[Any, Any]) -> Attributes:
    tree: Attributes = {}
    for path, value in _leaves(attributes, ()):
        place = tree
        for name in path[:-1]:
            inner = place.get(name)
            if not isinstance(inner, dict):
                inner = place[name] = {} if inner is None else {"": inner}
            place = inner
        last = path[-1]
        if isinstance(place.get(last), dict):
            place[last][""] = value
        else:
            place[last] = value
    return tree


def _leaves(value: Mapping[Any, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, one in value.items():
        path = (*above, *str(key).split(".", max(0, DEPTH - len(above))))
        if isinstance(one, Mapping) and len(path) < DEPTH:
            yield from _leaves(one, path)
        else:
            yield path, one


def _error(value: Mapping[str, Any], events: list[SpanEvent]) -> str | None:
    status = value.get("status")
    told: Mapping[str, Any] = status if isinstance(status, Mapping) else value
    code = first(told, "code", "status_code")
    if code != 2 and str(code).rpartition("_")[2].rpartition(".")[2].upper() != "ERROR":
        return None
    thrown = next((at(one.attributes, "exception.message") for one in events if one.name == "exception"), None)
    return name_of(first(told, "message", "description", "status_message")) or name_of(thrown) or "error"


def _moment(value: Any) -> datetime | None:
    """Returns a time in nanoseconds since 1970, or in ISO 8601."""
    try:
        return datetime.fromtimestamp(int(value) / 1e9, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return moment(value)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
