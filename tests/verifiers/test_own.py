"""A verifier of one's own: who judges a task that was logged with it, in every job, and where its name is looked for."""

import importlib
import logging
import sys

import pytest

from fakes import MACHINE, FingersAdder, loop, skill_text
from skill_plugin import verifiers
from skill_plugin.errors import ConfigurationError, InvalidTaskError
from skill_plugin.graphs import EvolveSettings, evolve, gate_generator
from skill_plugin.records import Revision, Task
from skill_plugin.verifiers import check_verifiers, otherwise, verifier_of
from skill_plugin.verifiers.loading import import_object


def judge(task, answer):
    return answer == task.reference


def other(task, answer):
    return True


class Tone:
    """An object of the operator's own, with a name and parameters."""

    name = "tone"

    def __init__(self, strict=False):
        self.params = {"strict": strict}

    def verify(self, task, answer):
        return True


OWN, OTHER, NUMERIC = verifiers.as_verifier(judge), verifiers.as_verifier(other), verifiers.numeric()
JUDGE = verifiers.spec(OWN)


class Writer:
    def __init__(self, text):
        self.text = text

    def propose(self, task, history, *, n):
        return [Revision(completion=self.text, prompt=({"role": "user", "content": task.input},))] * n


def adding(split, verifier=None):
    return [
        Task(f"add {n} and 2", reference=str(n + 2), family="adding", split=split, verifier=verifier) for n in range(4)
    ]


# The rule


@pytest.mark.parametrize(
    ("logged", "own", "judges"),
    [
        (JUDGE, OWN, OWN),
        (JUDGE, OTHER, OTHER),  # a function that has moved, or another: `otherwise` says so
        ({"name": "numeric"}, OWN, NUMERIC),
        ("numeric", None, NUMERIC),
        ({"name": "tone", "params": {"strict": True}}, tone := Tone(), tone),
        (verifiers.spec(verifiers.weighted([(1, judge)])), mixed := verifiers.weighted([(1, judge)]), mixed),
    ],
)
def test_the_operators_verifier_judges_what_no_name_loads_and_no_other(logged, own, judges):
    assert verifier_of(logged, own) == judges


@pytest.mark.parametrize(
    ("logged", "own", "says"),
    [
        (JUDGE, None, f"names that came with data are not imported; give it again: --verifier {__name__}:judge"),
        (JUDGE, NUMERIC, "and 'numeric' cannot stand for it"),
        ("os:system", None, "are not imported"),
        ("nummeric", OWN, "no verifier is called 'nummeric'; use one of"),
        ({"name": "tone"}, OWN, "no verifier is called 'tone'"),
        ({"name": []}, OWN, "no verifier is called"),
        ({"name": "weighted", "params": {"parts": 5}}, OWN, "cannot be made with"),
        ({"name": "weighted", "params": {"parts": [7]}}, OWN, "cannot be made with"),
        ({"name": "numeric", "params": 5}, OWN, "no verifier is called 'numeric'"),
        (verifiers.spec(verifiers.weighted([(1, judge)])), OWN, "give it again: verifier=... in Python"),
    ],
)
def test_a_verifier_that_nothing_can_stand_for_is_one_line(logged, own, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        verifier_of(logged, own)
    assert "\n" not in str(caught.value)


def test_all_verifiers_of_some_tasks_are_loaded_and_another_ones_tasks_are_counted():
    tasks = [*adding("heldout", JUDGE), *adding("heldout", {"name": "numeric"}), *adding("heldout")]
    said = f"4 tasks were logged with the verifier '{__name__}:judge'; '{__name__}:other' judges now"

    assert (check_verifiers(tasks, OWN), check_verifiers(tasks, OTHER)) == ("", said)
    assert otherwise(tasks, None) == otherwise([], OWN) == ""
    with pytest.raises(ConfigurationError, match="give it again"):
        check_verifiers(tasks[:8])
    with pytest.raises(InvalidTaskError, match="names no verifier"):
        check_verifiers(tasks[4:])


# The jobs


def test_what_evolve_logged_is_judged_again_by_the_same_function(store):
    small = EvolveSettings(generations=1, candidates=1, rollouts=1, gate_tasks=0)
    tasks = [Task(f"add {n} and 2", reference=str(n + 2), family="adding", split="train") for n in range(9, 12)]
    job = {"store": store, "llm": FingersAdder(), "generator": Writer(MACHINE), "verifier": judge, "settings": small}
    evolve([*tasks, *adding("heldout")], **job)
    logged = store.tasks.list(split="heldout")

    assert [task.verifier for task in logged] == [JUDGE] * 4
    assert evolve([*store.tasks.list(split="train"), *logged], **job, new=True).solved_before == 0
    both = {"candidate": Writer(MACHINE), "live": Writer(skill_text()), "candidates": 1, "rollouts": 1}
    decision = gate_generator(logged, store=store, llm=FingersAdder(), verifier=judge, **both)
    assert (decision.promote, decision.repairs) == (True, 4)

    changed = gate_generator(logged, store=store, llm=FingersAdder(), verifier=other, **both)
    assert f"'{__name__}:other' judges now" in changed.reason
    llm = FingersAdder()
    with pytest.raises(ConfigurationError, match="give it again"):
        gate_generator(logged, store=store, llm=llm, **both)
    assert llm.seen == []  # before anything is paid for


def test_a_run_judges_by_it_too_and_says_once_where_it_is_another(store, caplog):
    ask = {"task": "add 2 and 2", "reference": "4", "verifier": JUDGE}
    assert loop(store, writer=None, verifier=judge).compile().invoke(ask)["reward"] == 0
    assert caplog.messages == []

    graph = loop(store, writer=None, verifier=other).compile()
    with caplog.at_level(logging.WARNING):
        assert [graph.invoke(ask)["reward"] for _ in range(2)] == [1, 1]
    assert caplog.messages == [f"1 task was logged with the verifier '{__name__}:judge'; '{__name__}:other' judges now"]


# Where a name is looked for


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder of a console script, which is not on Python's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def test_a_function_beside_the_command_is_found(folder):
    folder.joinpath("facts.py").write_text("def judge(task, answer):\n    return True\n")

    assert verifiers.load("facts:judge", import_functions=True).name == "facts:judge"


def test_a_file_in_the_current_folder_stands_for_no_installed_module(folder, monkeypatch):
    folder.joinpath("facts.py").write_text("def judge(task, answer):\n    return True\n")
    folder.joinpath("wave.py").write_text("raise RuntimeError('not this one')\n")
    monkeypatch.delitem(sys.modules, "wave", raising=False)

    assert import_object("facts:judge")
    assert "site-packages" not in sys.path[-1]
    assert str(folder) not in importlib.import_module("wave").__file__
    with pytest.raises(ConfigurationError, match=r"wave\.py has no 'judge'; name what is in it"):
        import_object("wave:judge")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("fact:judge", "there is no module 'fact' in the current folder '{folder}' or among the packages of"),
        ("facts.more:judge", "there is no module 'facts.more' in the current folder"),
        ("facts:jugde", "{folder}/facts.py has no 'jugde'"),
        ("needs:judge", "ModuleNotFoundError: No module named 'no_such_package'; correct the module"),
        ("broken:judge", "SyntaxError: "),
        ("facts", "'facts' does not say what to import; write it as package.module:attribute"),
        (":judge", "write it as package.module:attribute"),
    ],
)
def test_what_cannot_be_imported_says_what_was_looked_for_and_where(folder, path, says):
    folder.joinpath("facts.py").write_text("def judge(task, answer):\n    return True\n")
    folder.joinpath("needs.py").write_text("import no_such_package\n")
    folder.joinpath("broken.py").write_text("def judge(:\n")

    with pytest.raises(ConfigurationError) as caught:
        import_object(path)
    assert says.format(folder=folder) in str(caught.value)
    assert "\n" not in str(caught.value)
