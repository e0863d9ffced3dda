"""What a broken model, verifier or generator, a budget and wrong arguments cost the gate of checkpoints."""

import re

import pytest

from evolving import ABACUS, Writer
from fakes import MACHINE, FingersAdder, ScriptedChat, system_text
from gating import adding, gate
from skill_plugin.budget import Budget
from skill_plugin.errors import ConfigurationError, InvalidTaskError
from skill_plugin.graphs import GeneratorGate
from skill_plugin.records import Revision


class Gone(Writer):
    def propose(self, task, history, *, n):
        raise ConnectionError("refused")


def test_a_failed_call_costs_its_task_only(store):
    def answer(messages):
        if "add 2 " in messages[-1].text and "machine" in system_text(messages):
            raise OSError("line noise")
        return FingersAdder._add(messages)

    decision = gate(store, Writer(MACHINE), Writer(ABACUS), llm=ScriptedChat(answer))

    assert (decision.promote, decision.tasks) == (True, 2)
    assert decision.reason.endswith(
        "; 1 of 3 held-out tasks could not be compared, the first because of OSError: line noise"
    )


def test_a_verifier_that_breaks_costs_its_task_only(store):
    def judge(task, answer):
        if "add 2 " in task.input:
            raise OSError("disk on fire")
        return answer == task.reference

    decision = gate(store, Writer(MACHINE), Writer(ABACUS), tasks=adding(1, 2, 3, verifier=False), verifier=judge)

    assert (decision.promote, decision.tasks) == (True, 2)
    assert "1 of 3 held-out tasks could not be compared, the first because of" in decision.reason
    assert "disk on fire" in decision.reason


def test_a_generator_that_breaks_costs_its_task_only(store):
    class Broken(Writer):
        def propose(self, task, history, *, n):
            if "add 2 " in task.input:
                raise OSError("disk on fire")
            return super().propose(task, history, n=n)

    decision = gate(store, Broken(MACHINE), Writer(ABACUS))

    assert (decision.promote, decision.tasks) == (True, 2)
    assert decision.reason.endswith("because of the candidate generator failed: OSError: disk on fire")


def test_a_task_llm_that_is_gone_promotes_nothing(store):
    def gone(messages):
        raise ConnectionError("refused")

    decision = gate(store, Writer(MACHINE), Writer(ABACUS), tasks=adding(*range(20)), llm=ScriptedChat(gone))

    assert (decision.promote, decision.kind) == (False, "none")
    assert re.fullmatch(
        r"stopped after 0 of 20 held-out tasks: \d+ calls of the task LLM failed in a row, the last with ConnectionError: refused",
        decision.reason,
    )


@pytest.mark.parametrize(
    ("candidate", "live", "which"), [(Gone(), Writer(ABACUS), "candidate"), (Writer(MACHINE), Gone(), "live")]
)
def test_a_generator_that_is_gone_promotes_nothing(store, candidate, live, which):
    decision = gate(store, candidate, live, tasks=adding(1, 2))
    assert (decision.promote, decision.kind) == (False, "none")
    assert decision.reason == (
        f"none of 2 held-out tasks could be compared: the {which} generator failed: ConnectionError: refused"
    )

    decision = gate(store, candidate, live, tasks=adding(*range(20)))
    assert f"3 calls of the {which} generator failed in a row" in decision.reason


def test_generators_that_ask_in_other_words_are_not_compared(store):
    class Other(Writer):
        def propose(self, task, history, *, n):
            return [Revision(completion=MACHINE, prompt=({"role": "user", "content": "Write!"},))]

    decision = gate(store, Other(), Writer(ABACUS))

    assert (decision.promote, decision.kind) == (False, "none")
    assert "made different prompts" in decision.reason


@pytest.mark.parametrize("calls", [3, 10, 25])
def test_a_budget_is_kept_and_half_a_comparison_promotes_nothing(store, calls):
    llm, progress = FingersAdder(), GeneratorGate()
    decision = gate(store, Writer(MACHINE), Writer(ABACUS), llm=llm, budget=Budget(calls=calls), progress=progress)

    spent = progress.spending
    assert spent.task.calls + spent.generator.calls <= calls
    assert len(llm.seen) == spent.task.calls
    assert decision.promote is False
    assert re.match(rf"stopped after \d of 3 held-out tasks: \d+ of {calls} calls are spent", decision.reason)
    assert progress.lost == []


@pytest.mark.parametrize("wrong", [{"candidates": 0}, {"rollouts": True}, {"concurrency": 1.5}])
def test_numbers_that_cannot_work(store, wrong):
    with pytest.raises(ConfigurationError, match="give a whole number from 1"):
        gate(store, Writer(MACHINE), Writer(ABACUS), **wrong)


def test_tasks_that_cannot_judge(store):
    with pytest.raises(InvalidTaskError, match="names no verifier"):
        gate(store, Writer(MACHINE), Writer(ABACUS), tasks=adding(1, verifier=False))
    with pytest.raises(InvalidTaskError, match="is there twice"):
        gate(store, Writer(MACHINE), Writer(ABACUS), tasks=adding(1, 1))
    with pytest.raises(ConfigurationError, match="is not a generator"):
        gate(store, "mine", Writer(ABACUS))
