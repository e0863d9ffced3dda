"""The agent that `langgraph.json` names, without a server around it (test_server.py has that)."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs import agent
from skill_plugin.store import SkillStore
from stub_llm import says, stub_llm

ROOT = Path(__file__).parents[2]
QUESTION = {"task": "How many gold customers do we have in the north region?"}


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """The graph is one for a process, and each test has another home; a server closes its store by ending."""
    opened, really_open = [], SkillStore.from_settings

    def remember(*args, **options):
        opened.append(really_open(*args, **options, index=False))  # Chroma takes seconds to start
        return opened[-1]

    monkeypatch.setattr(SkillStore, "from_settings", remember)
    agent._open.cache_clear()
    yield
    agent._open.cache_clear()
    for store in opened:
        store.close()


def test_the_configuration_names_this_file_and_its_factory():
    (served,) = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))["graphs"].values()
    file, name = served["path"].split(":")

    assert (ROOT / file).resolve() == Path(agent.__file__).resolve()
    assert callable(getattr(agent, name))


def test_importing_it_opens_nothing_and_reads_no_weights(home):
    code = "import skill_plugin.graphs.agent, sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert {"torch", "sentence_transformers", "chromadb", "langchain_openai"} & set(ran.stdout.split()) == set()
    assert not home.exists()


def test_without_a_model_it_is_simulated_and_leaves_the_real_library_alone(hashing, home, monkeypatch):
    monkeypatch.setenv("SKILL_PLUGIN_DATABASE", f"sqlite:///{home}/real.db")

    async def main():
        graph, again = await asyncio.gather(agent.graph(), agent.graph())
        return graph is again, graph.name, await graph.ainvoke(QUESTION)

    same, name, result = asyncio.run(main())

    assert same
    assert "simulated" in name
    assert (result["passed"], result["generations"]) == (True, 1)
    assert [entry.name for entry in home.iterdir()] == ["simulated"]
    with SkillStore.open(home / "simulated", embedder="hashing", chroma=False, create=False) as store:
        assert store.runs.rollouts(result["run_id"])[-1].model == "simulated-analyst"
    agent._open.cache_clear()  # a second process
    assert asyncio.run(agent.graph()).invoke(QUESTION)["skill"] == result["skill"]


def test_with_a_model_it_is_that_one_over_the_library_and_the_verifier_that_are_set(hashing, home, monkeypatch):
    with SkillStore.open(home, namespace="mine", embedder="hashing", chroma=False) as store:
        skill = store.add(name="adding", description="How to add 2 and 2", body="Use a machine.")
    with stub_llm(says("4")) as server:
        for name, value in {
            "MODEL": "stub",
            "BASE_URL": server.url,
            "NAMESPACE": "mine",
            "VERIFIER": "exact_match",
        }.items():
            monkeypatch.setenv(f"SKILL_PLUGIN_{name}", value)
        result = asyncio.run(asyncio.run(agent.graph()).ainvoke({"task": "add 2 and 2", "reference": "4"}))

        assert "Use a machine." in server.calls[0]["messages"][0]["content"]
    assert (result["answer"], result["passed"], result["skill"]) == ("4", True, skill.ref)
    assert not (home / "simulated").exists()


def test_a_client_cannot_set_what_is_the_operators(hashing):
    graph = asyncio.run(agent.graph())
    schema = graph.get_input_jsonschema()

    assert (sorted(schema["properties"]), schema["required"]) == (["reference", "task"], ["task"])
    assert graph.invoke({**QUESTION, "pin": "no@1", "arm": "control"})["skill"] is not None


def test_a_wrong_setting_is_told_when_the_graph_is_asked_for(monkeypatch):
    monkeypatch.setenv("SKILL_PLUGIN_MODEL", "nobody:gpt")

    with pytest.raises(ConfigurationError, match="nobody:gpt"):
        asyncio.run(agent.graph())
