"""The digest says what rewards, feedback and differences say, and no more."""

from fakes import MACHINE, skill_text
from skill_plugin import Generation, Rollout
from skill_plugin.generators.digest import (
    MAX_QUOTED,
    attempts,
    current_text,
    digest,
    feedback_counts,
    other_tasks,
    refused_elsewhere,
)


def rollout(reward=0.0, feedback="", **more):
    return Rollout(generation=0, answer="3", reward=reward, passed=reward == 1, feedback=feedback, **more)


def tried(text, *rollouts, number=0, **more):
    return Generation(number=number, text=text, rollouts=rollouts, **more)


def lines(*history):
    return digest(attempts(history), other_tasks(history), refused_elsewhere(history))


def test_the_current_skill_is_the_last_that_stands():
    refused, rejected = tried(None, error="no"), tried(MACHINE, rejected="no")
    names = [
        (one.name, one.is_current)
        for one in attempts([tried(MACHINE), tried(skill_text(), number=1), refused, rejected])
    ]

    assert names == [
        ("generation 0, candidate 1", False),
        ("generation 1", True),
        ("generation 0, candidate 2", False),
        ("generation 0, candidate 3", False),
    ]
    assert current_text([tried(MACHINE), tried(skill_text(), number=1), refused, rejected]) == skill_text()
    assert current_text([tried(MACHINE), tried(None, number=1)]) is None
    assert current_text([]) is None


def test_nothing_tried_is_nothing_known():
    assert lines() == [
        "Success: nothing has a verdict yet.",
        "Mistakes: none is known.",
        "Workflow: write the first skill, with what the feedback shows to be missing.",
    ]


def test_what_failed_and_what_helped_are_named():
    history = [
        tried(None, rollout(0.25)),
        tried(skill_text(), rollout(0, "off by one"), number=1),
        tried(MACHINE, rollout(1), rollout(0.5, "too slow"), rollout(0.5, "too slow"), rollout(0, "late"), number=2),
    ]

    assert lines(*history) == [
        (
            "Success: the current skill did best, mean reward 0.5 over 4; what it says and generation 1 does not: "
            '"Use a machine.".'
        ),
        (
            'Mistakes: the current skill fails most often with "too slow" (2 of 4); generation 1 did worse, mean reward 0 '
            'over 1, with "Use your fingers.".'
        ),
        "Workflow: keep what the passing answers followed; correct or add what the most frequent feedback names.",
    ]


def test_a_skill_that_does_not_beat_none_is_to_be_replaced():
    assert lines(tried(MACHINE, rollout(0.5), rollout(0.5, arm="control")))[2] == (
        "Workflow: the current skill does no better than none (0.5): replace what misleads; correct or add what the most "
        "frequent feedback names."
    )


def test_a_better_text_is_taken_over_unless_it_was_rejected():
    better = tried(MACHINE, rollout(0.5), number=1)
    current = tried(skill_text(), rollout(0, "no"), number=2)

    assert "take over what generation 1 says otherwise" in lines(better, current)[2]
    rejected = lines(tried(MACHINE, rollout(0.5), number=1, rejected="worse"), current)
    assert rejected[0] == "Success: nothing has earned a reward yet."
    assert "take over" not in rejected[2]
    assert rejected[2].endswith("write no rejected text again as it stands.")


def test_what_passes_is_kept_and_a_refused_form_is_said():
    said = lines(tried(MACHINE, rollout(1)), tried(None, error="no front matter", number=1))

    assert said[1:] == [
        "Mistakes: 1 text was refused for its form.",
        (
            "Workflow: keep the current skill, which passes, and change as little as you can; keep to the form of the "
            "answer, to the letter."
        ),
    ]


def test_other_tasks_count_for_mistakes_and_not_for_success():
    current = tried(MACHINE, rollout(0.5), rollout(1), number=1)
    others = [tried(MACHINE, rollout(0, "carry"), rollout(1), task=f"{n} + 9?", number=1) for n in range(2)]
    refused = [tried(skill_text(body=str(n)), rejected="no", task="4 + 5?", number=9) for n in (1, 2, 2)]

    assert current_text([current, *others, *refused]) == MACHINE
    assert lines(current, *others, *refused) == [
        "Success: the current skill did best, mean reward 0.75 over 2.",
        'Mistakes: other tasks fail most often with "carry" (2 of 4); 2 texts were rejected on other tasks.',
        (
            "Workflow: keep what the passing answers followed; correct or add what the most frequent feedback names; write "
            "what serves all the tasks shown; write no rejected text again as it stands."
        ),
    ]


def test_a_skill_that_passes_here_and_fails_elsewhere_is_to_be_changed():
    current = tried(MACHINE, rollout(1), rollout(1, arm="control"))
    said = lines(tried(MACHINE, rollout(0, "carry"), task="8 + 9?"), current)

    assert said[2] == (
        "Workflow: keep what the passing answers followed; correct or add what the most frequent feedback names; write what "
        "serves all the tasks shown."
    )


def test_what_is_quoted_is_short_and_on_one_line():
    said = lines(tried(MACHINE, rollout(0, "# Task\n" + "x" * 999)))

    assert f'"# Task {"x" * (MAX_QUOTED - 7)}..."' in said[1]


def test_feedback_is_counted_the_most_frequent_first():
    rollouts = [rollout(0, text) for text in ("b", "a", " a\n", "", "b", "c", "a")]

    assert feedback_counts(rollouts) == [("a", 3), ("b", 2), ("c", 1)]
