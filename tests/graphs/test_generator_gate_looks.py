"""The gate of checkpoints looks again, with more texts and more tasks, until it is sure."""

import re
from collections import Counter

import pytest

from evolving import Writer
from fakes import FingersAdder, ScriptedChat, skill_text, system_text
from gating import adding, gate
from skill_plugin.budget import Budget
from skill_plugin.graphs import GeneratorGate
from skill_plugin.records import Revision

SURE = {"confident": True, "rollouts": 1, "concurrency": 4}


class Mixed(Writer):
    """Writes a good text as the pattern says, one letter for each text of a task; every text is new."""

    def __init__(self, pattern, *, of=None):
        super().__init__()
        self.pattern, self.of, self.asked = pattern, of or {}, Counter()

    def propose(self, task, history, *, n):
        self.seen.append((task, n))
        begun = self.asked[task.input]
        self.asked[task.input] += n
        pattern = self.of.get(task.input, self.pattern)
        tools = ["machine" if pattern[at % len(pattern)] == "+" else "abacus" for at in range(begun, begun + n)]
        prompt = ({"role": "user", "content": task.input},)
        texts = [skill_text(body=f"Use a {tool}, way {at}.") for at, tool in enumerate(tools, begun)]
        return [Revision(completion=text, prompt=prompt) for text in texts]


def test_a_clear_gain_is_seen_at_the_first_look(store):
    decision = gate(store, Mixed("+"), Mixed("-"), tasks=adding(*range(8)), **SURE)

    assert (decision.promote, decision.gain, len(decision.looks)) == (True, 1.0, 1)
    assert decision.looks[0] == (8, 16, 1.0, 1.0, 1.0)
    assert decision.reason == (
        "8 repaired > 0 regressed of 8 held-out tasks, mean gain +1.000 [+1.000, +1.000] "
        "(the smallest gain that it could have seen is 0.000)"
    )


def test_a_gain_that_two_texts_do_not_show_is_seen_with_more(store):
    candidate, llm, progress = Mixed("+---++++", of={"add 0 and 2": "-" * 8}), FingersAdder(), GeneratorGate()
    live = Mixed("-", of={"add 1 and 2": "+-------", "add 2 and 2": "++------", "add 3 and 2": "+-------"})
    decision = gate(store, candidate, live, tasks=adding(*range(8)), llm=llm, progress=progress, **SURE)

    assert decision.promote
    assert [(look.tasks, look.texts) for look in decision.looks] == [(8, 16), (8, 32), (8, 64)]
    assert decision.looks[0].low < 0 < decision.looks[-1].low
    assert (decision.gain, decision.low, decision.high) == decision.looks[-1][2:]
    assert f"could have seen is {decision.smallest:.3f})" in decision.reason
    assert decision.reason.endswith("looked 3 times, at last at 8 texts of either generator a task")
    # Each text is written and tried once, whatever the number of looks.
    assert Counter(n for _, n in candidate.seen) == {2: 16, 4: 8}
    assert progress.spending.generator.calls == 2 * 8 * 8
    assert len(llm.seen) == progress.spending.task.calls == 8 + progress.texts
    assert progress.texts == len({(task, text) for task, text in _tried(llm)})


def _tried(llm):
    return [(messages[-1].text, text) for messages in llm.seen if (text := system_text(messages))]


def test_further_tasks_come_before_further_texts(store):
    candidate = Mixed("+-", of={f"add {n} and 2": "-" for n in (0, 2)})
    decision = gate(store, candidate, Mixed("-"), tasks=adding(*range(14)), first_tasks=5, **SURE)

    assert [(look.tasks, look.texts) for look in decision.looks] == [(5, 10), (10, 20)]
    assert (decision.promote, len(decision.judges)) == (True, 10)
    assert Counter(n for _, n in candidate.seen) == {2: 10}


def test_without_a_gain_no_more_is_drawn(store):
    candidate = Mixed("-")
    decision = gate(store, candidate, Mixed("-"), tasks=adding(*range(12)), first_tasks=6, **SURE)

    assert (decision.promote, len(decision.looks), decision.tasks) == (False, 1, 6)
    assert decision.reason.endswith("; more texts would hardly help")
    assert len(decision.judges) == len(candidate.seen) == 6


def test_solved_tasks_are_replaced_by_others(store):
    def answer(messages):  # the first four need no skill
        number = int(re.findall(r"\d+", messages[-1].text)[0])
        return str(number + 2 - ("machine" not in system_text(messages) and number > 3))

    progress = GeneratorGate()
    options = {**SURE, "first_tasks": 5, "concurrency": 1, "progress": progress}
    decision = gate(store, Mixed("+"), Mixed("-"), tasks=adding(*range(12)), llm=ScriptedChat(answer), **options)

    assert (decision.promote, decision.tasks, progress.solved, progress.tasks) == (True, 5, 4, 9)
    assert "; 4 of 9 held-out tasks were solved without a revision and left out" in decision.reason
    assert len(decision.judges) == 9


def test_generators_that_write_the_same_texts_again_are_not_asked_for_ever(store):
    texts = [skill_text(body=f"Use a {tool}.") for tool in ("machine", "abacus", "pencil", "stick")]

    class Same(Mixed):
        def propose(self, task, history, *, n):
            good = int(re.findall(r"\d+", task.input)[0]) in self.of
            prompt = ({"role": "user", "content": task.input},)
            return [Revision(completion=texts[0 if good else 1 + at % 2], prompt=prompt) for at in range(n)]

    candidate, live = Same("", of={0: 1, 1: 1, 2: 1, 3: 1}), Same("", of={4: 1})
    decision = gate(store, candidate, live, tasks=adding(*range(8)), **SURE)

    assert (decision.promote, len(decision.looks)) == (False, 2)
    assert decision.reason.endswith("the generators wrote the same texts once more, so no more were asked for")


def test_unsound_texts_and_too_few_tasks_are_not_looked_at_again(store):
    loop = skill_text(body="Use a machine. " * 200)
    unsound = gate(store, Writer(loop), Mixed("-"), tasks=adding(*range(6)), **SURE)
    few = gate(store, Mixed("+"), Mixed("-"), tasks=adding(1, 2, 3), **SURE)

    assert (unsound.promote, few.promote, len(few.looks)) == (False, False, 1)
    assert "loops: 100% of 12 texts end in a loop" in unsound.reason
    assert unsound.reason.endswith("; its texts are unsound, so no more were drawn")
    assert "over fewer than 5 tasks" in few.reason
    assert few.reason.endswith("; more texts of so few tasks would not help")


@pytest.mark.parametrize("calls", [60, 90])
def test_a_budget_that_ends_between_looks_leaves_the_last_whole_look(store, calls):
    candidate = Mixed("+---++++", of={"add 0 and 2": "-" * 8})
    live = Mixed("-", of={"add 1 and 2": "+-------", "add 2 and 2": "++------", "add 3 and 2": "+-------"})
    progress = GeneratorGate()
    options = {**SURE, "budget": Budget(calls=calls), "progress": progress}
    decision = gate(store, candidate, live, tasks=adding(*range(8)), **options)

    assert (decision.promote, decision.kind) == (False, "paired")
    assert progress.spending.task.calls + progress.spending.generator.calls <= calls
    assert "stopped after" in decision.reason or len(decision.looks) == 1
    assert re.search(rf"\d+ of {calls} calls are spent", decision.reason)


def test_a_gate_that_takes_any_gain_looks_once(store):
    candidate = Mixed("+---++++", of={"add 0 and 2": "-" * 8})
    decision = gate(store, candidate, Mixed("-"), tasks=adding(*range(8)), rollouts=1)

    assert (decision.promote, len(decision.looks)) == (True, 1)
    assert "could have seen" not in decision.reason
