"""The time that skills add to an agent's run, without the model's: the middleware, and the nodes of our own graph.

    python benchmarks/overhead.py [--skills 5000] [--runs 200] [--calls 5] [--json OUT]

Agents with and without skills, over a model that answers at once: LangChain's `create_agent` with and without
`SkillMiddleware`, and a `StateGraph` with one model node, beside the same with retrieve, execute, verify and record. Retrieval
is over real MiniLM and Chroma, the record goes to SQLite (synchronous=FULL). With and without take turns, task by task, so
that a noisy machine hits both. Every task is asked twice: first it is new, which costs an embedding, then its vector is in the
cache. All this is with one model call a run; a third agent calls its model `--calls` times, with a tool in between, and
`a_further_call_ms` is what each of them after the first costs.

`overhead` is the median (and the 95th percentile) of the paired differences; `difference_of_medians_ms` is the one median less
the other. `minilm_alone` is one encoding of the same task by the bare model, in the same turn. Targets: under 25 ms for
a new task, under 2 ms for a cached one.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filling import embed, fill, made_up_skills, made_up_tasks, summary, timed
from langchain.agents import create_agent
from langchain.tools import tool
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import MessagesState, StateGraph
from rich.progress import track

from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.graphs import execute_node, record_node, retrieve_node, verify_node
from skill_plugin.integrations.middleware import SkillMiddleware
from skill_plugin.store import SkillStore
from skill_plugin.store.skills.pruning import CAPACITY

WARM_UP = 10


class AtOnce(BaseChatModel):
    """Calls its tool until it has been called `calls` times for the question, then answers."""

    calls: int = 1

    @property
    def _llm_type(self) -> str:
        return "at-once"

    def bind_tools(self, tools: Any, **_: Any) -> Any:  # noqa: ARG002
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        made = sum(isinstance(message, ToolMessage) for message in messages)
        wanted = [{"name": "look", "args": {}, "id": str(made)}] if made < self.calls - 1 else []
        return ChatResult(generations=[ChatGeneration(message=AIMessage("done", tool_calls=wanted))])


@tool
def look() -> str:
    """Looks."""
    return "seen"


def pairs(store: SkillStore, calls: int) -> dict[str, tuple[Callable[[str], Any], Callable[[str], Any]]]:
    """Returns for each agent how to run it without skills, and with them."""
    model = AtOnce()
    plain = StateGraph(MessagesState).add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
    ours = StateGraph(MessagesState).add_sequence(
        [
            ("retrieve", retrieve_node(store)),
            ("execute", execute_node(model)),
            ("verify", verify_node(lambda _task, _answer: True)),
            ("record", record_node(store)),
        ]
    )
    return {
        "middleware": _agents(store, model),
        "nodes": (
            _asking(plain.set_entry_point("agent").compile()),
            _asking(ours.set_entry_point("retrieve").compile()),
        ),
        f"middleware, {calls} calls a run": _agents(store, AtOnce(calls=calls)),
    }


def _agents(store: SkillStore, model: AtOnce) -> tuple[Callable[[str], Any], Callable[[str], Any]]:
    plain = create_agent(model, [look], system_prompt="Be brief.")
    return _asking(plain), _asking(
        create_agent(model, [look], system_prompt="Be brief.", middleware=[SkillMiddleware(store)])
    )


def _asking(graph: Any) -> Callable[[str], Any]:
    return lambda task: graph.invoke({"messages": [("user", task)]})


def compared(without: Sequence[float], with_skills: Sequence[float]) -> dict[str, Any]:
    return {
        "without": summary(without),
        "with_skills": summary(with_skills),
        "overhead": summary([b - a for a, b in zip(without, with_skills, strict=True)]),
        "difference_of_medians_ms": round(statistics.median(with_skills) - statistics.median(without), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skills", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    embedder, documents = MiniLMEmbedder(), made_up_skills(arguments.skills)
    figures: dict[str, Any] = {key: getattr(arguments, key) for key in ("skills", "runs", "calls")}
    with (
        tempfile.TemporaryDirectory() as folder,
        SkillStore.open(folder, embedder=embedder, capacity=max(CAPACITY, arguments.skills)) as store,
    ):
        fill(store, embedder.signature, documents, embed(embedder, documents))
        if not store.wait_for_index():
            raise SystemExit(f"Chroma is not up to date: {[one for one in store.check() if one.name == 'index']}")
        made = pairs(store, arguments.calls)
        tasks = made_up_tasks(arguments.runs * len(made) + WARM_UP)
        for without, with_skills in made.values():  # the first calls import and open
            for task in tasks[:WARM_UP]:
                without(task)
                with_skills(task)
        for place, (name, (without, with_skills)) in enumerate(made.items()):
            own = tasks[WARM_UP + place * arguments.runs :][: arguments.runs]
            for case in ("new", "cached"):
                times: tuple[list[float], list[float], list[float]] = ([], [], [])
                for n, task in enumerate(track(own, f"{name}, {case} tasks")):
                    turns = [(times[0], without), (times[1], with_skills)]
                    for taken, run in turns if n % 2 else reversed(turns):
                        taken.append(timed(lambda run=run, task=task: run(task)))
                    times[2].append(timed(lambda task=task: embedder.embed([task])))
                figures[f"{name}, {case}"] = compared(*times[:2]) | {"minilm_alone": summary(times[2])}
    one, many = (
        figures[f"{name}, cached"]["overhead"]["p50_ms"]
        for name in ("middleware", f"middleware, {arguments.calls} calls a run")
    )
    figures["a_further_call_ms"] = round((many - one) / (arguments.calls - 1), 2)
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
