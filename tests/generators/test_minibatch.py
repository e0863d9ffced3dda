"""What is shown of a family beside the task's own history."""

from itertools import permutations

import pytest

from fakes import MACHINE, skill_text
from skill_plugin import Generation, Rollout, Task
from skill_plugin.errors import InvalidTaskError
from skill_plugin.generators.digest import current_text
from skill_plugin.generators.minibatch import MAX_OTHERS, MAX_REFUSED, minibatch
from skill_plugin.generators.prompt import revise_prompt

TASK = Task("2 + 2?", split="train")


def failed(feedback="", *, reward=0.0, **more):
    return Rollout(generation=1, answer="3", reward=reward, passed=reward == 1, feedback=feedback, **more)


def other(number, *rollouts, split="train"):
    return Task(f"{number} + 9?", split=split), rollouts


def refused(number, **more):
    text = skill_text(body=f"Use {number} fingers.")
    return Generation(**{"number": 1, "text": text, "rejected": f"reason {number}", "task": f"{number} + 7?"} | more)


PAST = [
    Generation(number=0, text=None, rollouts=(failed("short"),)),
    Generation(number=1, text=MACHINE, skill="sk_1@1", rollouts=(failed("carry"),)),
]


def tasks(history):
    return [one.task for one in history if one.task is not None and one.rejected is None]


def test_a_history_without_a_family_is_the_history():
    assert minibatch(TASK, PAST) == PAST
    assert minibatch(TASK, []) == []


def test_other_tasks_are_under_the_current_skill_which_stays_last():
    task, rollouts = other(1, failed("late"))
    history = minibatch(TASK, PAST, [(task, rollouts)], [refused(5)])

    assert history == [
        refused(5),
        Generation(number=1, text=MACHINE, skill="sk_1@1", rollouts=rollouts, task="1 + 9?"),
        *PAST,
    ]
    assert current_text(history) == MACHINE


def test_where_there_is_no_skill_other_tasks_are_under_none():
    rejected = Generation(number=1, text=MACHINE, rejected="worse")
    [shown] = [one for one in minibatch(TASK, [PAST[0], rejected], [other(1, failed())]) if one.task is not None]

    assert (shown.text, shown.skill, shown.number) == (None, None, 0)


def test_the_other_tasks_are_those_that_fail_each_once_and_never_the_own():
    passed, silent, control = failed(reward=1), Rollout(generation=1, answer="3"), failed(arm="control")
    others = [
        (TASK, [failed()]),
        other(1, passed),
        other(2, silent, control),
        other(3, passed, failed()),
        other(3, failed()),
    ]

    assert tasks(minibatch(TASK, PAST, others)) == ["3 + 9?"]


def test_what_says_something_new_is_shown_before_what_was_heard():
    others = [other(1, failed("carry")), other(2, failed("late")), other(3, failed("late")), other(4, failed("rude"))]

    assert tasks(minibatch(TASK, PAST, others)) == ["2 + 9?", "4 + 9?"]
    assert tasks(minibatch(TASK, PAST, others[:3])) == ["2 + 9?", "1 + 9?"]
    assert MAX_OTHERS == 2


def test_the_newest_refused_texts_are_shown_each_once():
    seen = [refused(number) for number in range(9)]
    again = refused(2, rejected="a newer reason")
    own = Generation(number=1, text=seen[8].text, rejected="own reason")
    history = minibatch(TASK, [own, *PAST], refused=[*seen, again])

    assert [one.rejected for one in history if one.task] == ["reason 5", "reason 6", "reason 7", "a newer reason"]
    assert MAX_REFUSED == 4


def test_a_refused_text_that_names_no_task_was_written_for_this_one():
    assert minibatch(TASK, PAST, refused=[refused(1, task=None)])[0].task == TASK.input


def test_a_held_out_task_is_never_shown():
    with pytest.raises(InvalidTaskError, match="the generator never sees a held-out task, got '1 \\+ 9"):
        minibatch(TASK, PAST, [other(1, failed(reward=1), split="heldout")])


def test_a_family_makes_one_prompt_however_the_heard_are_ordered():
    others = [other(1, failed("late")), other(2, failed("rude")), other(3, failed("carry")), other(4, failed("short"))]
    prompts = {
        repr(revise_prompt(TASK, minibatch(TASK, PAST, [*others[:2], *known], [refused(1)])))
        for known in permutations(others[2:])
    }

    assert len(prompts) == 1
