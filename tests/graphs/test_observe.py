"""What is seen of a run from outside, and what is not."""

import asyncio
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from langchain_core.tracers.langchain import LangChainTracer
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langsmith import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fakes import ASK, MACHINE, FingersAdder, ScriptedChat, loop
from skill_plugin import Task
from skill_plugin.graphs import add_skills, gate_version
from skill_plugin.graphs.observe import span

SECRET = "the-text-of-the-task-and-of-the-answer"


@pytest.fixture(scope="module")
def exporter():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    # It stays the process's provider and is ended with it: shut down here it would log a warning for each span of a later test.
    return exporter


@pytest.fixture
def spans(exporter):
    exporter.clear()

    def finished():
        return {one.name.removeprefix("skill_plugin."): one for one in exporter.get_finished_spans()}

    return finished


@pytest.fixture
def promoted(store, skill):
    """A version that went live through the gate."""
    better = store.revise("adding", body="Use a machine.")
    tasks = [Task("add 3 and 3", reference="6", split="heldout")]
    gate_version(store, loop(store, writer=None).compile(), better.ref, tasks)
    return store.get("adding")


def runs(run):
    return {run.name: run.metadata, **{name: found for child in run.child_runs for name, found in runs(child).items()}}


def test_any_tracer_shows_which_skill_was_used_why_it_is_live_and_what_came_of_it(store, promoted):
    tracer = RunCollectorCallbackHandler()
    result = loop(store, writer=None).compile().invoke(ASK, {"callbacks": [tracer]})

    [root] = tracer.traced_runs
    seen = runs(root)
    retrieved = {key.removeprefix("skill_plugin_"): value for key, value in seen["retrieve"].items()}
    assert (retrieved["skill"], retrieved["skill_name"], retrieved["skill_version"]) == (promoted.ref, "adding", 2)
    assert (retrieved["gate_by"], retrieved["gate_repairs"], retrieved["gate_regressions"]) == ("gate", 1, 0)
    assert 0 < retrieved["score"] == retrieved["scores"][0]
    assert seen["verify"]["skill_plugin_reward"] == 1.0
    assert seen["FingersAdder"]["skill_plugin_skill"] == promoted.ref
    assert root.metadata["skill_plugin_run_id"] == result["run_id"] == seen["FingersAdder"]["skill_plugin_run_id"]
    assert root.metadata["skill_plugin_passed"] is True


async def test_async_and_in_somebody_elses_graph_too(store, skill):
    async def agent(state: MessagesState) -> dict:
        return {"messages": [await FingersAdder().ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent").add_edge("agent", "__end__")
    tracer = RunCollectorCallbackHandler()
    graph = add_skills(builder, store=store, before="agent").compile()
    await graph.ainvoke({"messages": [("user", "add 2 and 2")]}, {"callbacks": [tracer]})

    assert tracer.traced_runs[0].metadata["skill_plugin_skill"] == skill.ref
    assert store.runs.rollouts(tracer.traced_runs[0].metadata["skill_plugin_run_id"])


def test_each_node_has_a_span(store, skill, spans):
    writer = ScriptedChat([MACHINE])
    result = loop(store, writer=writer).compile().invoke(ASK)

    seen = spans()
    assert set(seen) == {"retrieve", "execute", "verify", "revise", "record"}
    assert seen["retrieve"].attributes["skill_plugin.skill"] == skill.ref
    assert seen["revise"].attributes["skill_plugin.skill"] == store.get("adding@2").ref
    assert dict(seen["record"].attributes) == {
        "skill_plugin.run_id": result["run_id"],
        "skill_plugin.reward": 1.0,
        "skill_plugin.passed": True,
        "skill_plugin.skill": store.get("adding@2").ref,
        "skill_plugin.generations": 1,
    }


def test_the_gate_has_one_too(promoted, spans, store):
    worse = store.revise("adding", body="Use your toes.")
    gate_version(
        store, loop(store, writer=None).compile(), worse.ref, [Task("add 3 and 3", reference="6", split="heldout")]
    )

    seen = spans()["gate"].attributes
    assert (seen["skill_plugin.promote"], seen["skill_plugin.skill"]) == (False, worse.ref)
    assert "regressed" in seen["skill_plugin.reason"]


def test_no_text_of_a_task_an_answer_or_a_verdict_gets_into_spans_or_metadata(store, skill, spans):
    def judge(task, answer):
        raise ValueError(SECRET)

    tracer = RunCollectorCallbackHandler()
    graph = loop(store, llm=ScriptedChat([SECRET]), writer=None, verifier=judge).compile()
    graph.invoke({"task": f"add {SECRET}"}, {"callbacks": [tracer]})

    assert SECRET not in json.dumps([dict(one.attributes) for one in spans().values()])
    assert SECRET not in json.dumps(list(runs(tracer.traced_runs[0]).values()), default=str)
    assert spans()["verify"].attributes["skill_plugin.verifier_failed"] is True


def test_an_error_shows_its_class_and_an_interrupt_is_none(store, skill, spans):
    def gone(messages):
        raise ConnectionError(SECRET)

    with pytest.raises(ConnectionError):
        loop(store, llm=ScriptedChat(gone), writer=None).compile().invoke(ASK)
    failed = spans()["execute"]
    assert (failed.status.status_code, failed.status.description, failed.events) == (
        trace.StatusCode.ERROR,
        "ConnectionError",
        (),
    )
    graph = loop(store, approve=True).compile(checkpointer=InMemorySaver())
    graph.invoke(ASK, {"configurable": {"thread_id": "1"}})
    assert spans()["approve"].status.status_code is trace.StatusCode.UNSET


class _LangSmith(BaseHTTPRequestHandler):
    """Takes what a LangSmith client posts."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.runs.setdefault(body.get("id") or self.path.rsplit("/", 1)[-1], {}).update(body)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    do_PATCH = do_POST  # noqa: N815 - http.server's name

    def log_message(self, *_):
        """Stay silent."""


def test_langsmiths_own_client_sends_it_along(store, skill):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _LangSmith)
    server.runs = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        client = Client(
            api_url=f"http://127.0.0.1:{server.server_port}", api_key="none", auto_batch_tracing=False, info={}
        )
        result = loop(store, writer=None).compile().invoke(ASK, {"callbacks": [LangChainTracer(client=client)]})
    finally:
        server.shutdown()
        server.server_close()

    sent = {run["name"]: run["extra"]["metadata"] for run in server.runs.values()}
    assert sent["LangGraph"]["skill_plugin_run_id"] == result["run_id"]
    assert sent["retrieve"]["skill_plugin_skill"] == skill.ref


def test_without_opentelemetry_everything_works(tmp_path):
    program = """
import sys
sys.modules["opentelemetry"] = None
from skill_plugin.graphs import observe
assert observe.trace is None
with observe.span("retrieve"):
    observe.emit("retrieved", {"run_id": "1"})
assert not observe.watched()
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


async def test_spans_of_tasks_that_run_side_by_side_do_not_mix(spans):
    async def one(name):
        with span(name):
            await asyncio.sleep(0)
            trace.get_current_span().set_attribute("own", name)
            await asyncio.sleep(0)

    await asyncio.gather(one("a"), one("b"))
    assert {name: one.attributes["own"] for name, one in spans().items()} == {"a": "a", "b": "b"}
