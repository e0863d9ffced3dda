import pytest

from fakes import MACHINE, FingersAdder, ScriptedChat, skill_text
from skill_plugin import Task, verifiers
from skill_plugin.errors import ConfigurationError, StoreError
from skill_plugin.graphs import create_skill_graph, gate_version, gate_versions

SPEC = {"name": "exact_match", "params": {}}
TASKS = [Task(f"add {n} and {n}", reference=str(2 * n), verifier=SPEC) for n in range(3)]


@pytest.fixture
def graph(store):
    return create_skill_graph(store=store, llm=FingersAdder(), generator=ScriptedChat([])).compile()


def test_a_version_that_helps_goes_live(store, graph):
    store.add_text(skill_text())
    better = store.revise_text("adding", MACHINE)
    decision = gate_version(store, graph, better.ref, TASKS)

    assert (decision.promote, decision.repairs, decision.regressions) == (True, 3, 0)
    assert store.get("adding").version == 2
    event = store.history("adding")[-1]
    assert (event.kind, event.by, event.evidence) == ("promoted", "gate", decision.to_json())


def test_a_version_that_harms_is_refused(store, graph):
    store.add_text(MACHINE)
    worse = store.revise_text("adding", skill_text())
    decision = gate_version(store, graph, worse.ref, TASKS)

    assert (decision.promote, decision.regressions) == (False, 3)
    assert store.get("adding").version == 1
    assert store.history("adding")[-1].kind == "refused"


def test_a_first_skill_is_compared_with_none(store, graph):
    first = store.add_text(MACHINE, author="generator")

    assert gate_version(store, graph, first.ref, TASKS).promote
    assert store.get("adding").status == "live"


def test_without_tasks_nothing_goes_live(store, graph):
    first = store.add_text(MACHINE, author="generator")
    decision = gate_version(store, graph, first.ref, [])

    assert (decision.promote, decision.reason) == (False, "no held-out tasks to judge it by")
    assert store.get("adding").status == "staged"


def test_a_broken_verifier_leaves_its_pair_out(store):
    def odd(task, answer):
        if task.input == TASKS[0].input:
            raise KeyError("oops")
        return verifiers.exact_match().verify(task, answer)

    graph = create_skill_graph(store=store, llm=FingersAdder(), verifier=odd).compile()
    first = store.add_text(MACHINE, author="generator")
    tasks = [Task(task.input, reference=task.reference) for task in TASKS]

    assert gate_version(store, graph, first.ref, tasks).tasks == 2


def test_of_several_versions_the_one_that_replays_best_goes_live(store, graph):
    first = store.add_text(skill_text())
    refs = [
        store.revise_text("adding", skill_text(body=body)).ref
        for body in ("Use a machine.", "Use an abacus.", "Use the machine!")
    ]
    decisions = gate_versions(store, graph, refs, TASKS)

    assert [decision.promote for decision in decisions.values()] == [True, False, False]
    assert (store.get("adding").version, first.version) == (2, 1)
    assert [event.kind for event in store.history("adding")[-3:]] == ["promoted", "refused", "refused"]
    assert "replays better" in store.history("adding")[-1].reason


def test_versions_of_two_skills_cannot_compete(store, graph):
    refs = [store.add_text(skill_text(name=name)).ref for name in ("adding", "summing")]

    for wrong in (refs, []):
        with pytest.raises(ConfigurationError, match="one skill"):
            gate_versions(store, graph, wrong, TASKS)


@pytest.mark.parametrize("out_of_use", ["retire", "quarantine"])
def test_only_a_person_brings_a_skill_back(store, graph, out_of_use):
    store.add_text(skill_text())
    better = store.revise_text("adding", MACHINE)
    getattr(store, out_of_use)("adding")

    with pytest.raises(StoreError, match="only a person"):
        gate_version(store, graph, better.ref, TASKS)
    assert store.get("adding").status in ("retired", "quarantined")
    assert store.promote(better.ref).status == "live"
