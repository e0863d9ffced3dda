"""The prompt that the generator reads."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import MACHINE, skill_text
from skill_plugin import Generation, Rollout, Task
from skill_plugin.errors import ConfigurationError, InvalidTaskError
from skill_plugin.generators.prompt import BUDGET, MAX_SHOWN, REVISE_SYSTEM, estimated_tokens, revise_prompt

TASK = Task("2 + 2?", reference="4", split="train")
PAGE = Path(__file__).parents[2] / "docs" / "revision-prompt.md"


def rollout(answer="3", reward=0.0, feedback="", **more):
    return Rollout(generation=0, answer=answer, reward=reward, passed=reward == 1, feedback=feedback, **more)


def tried(text, *rollouts, number=0, **more):
    return Generation(number=number, text=text, rollouts=rollouts, **more)


def asked(*history, **options):
    return revise_prompt(TASK, history, **options)[1]["content"]


def part(title, text):
    return re.search(rf"^# {title}\n\n(.*?)(?=\n\n# |\Z)", text, re.DOTALL | re.MULTILINE)[1]


def tokens(prompt):
    return sum(estimated_tokens(message["content"]) for message in prompt)


def test_the_prompt_shows_what_was_tried_and_what_came_of_it():
    again = [rollout(feedback="expected 4", reward=reward) for reward in (0.5, 0, 0.25)]
    system, user = revise_prompt(TASK, [tried(skill_text(), *again, rollout("4", 1))])

    assert "SKILL.md" in system["content"]
    assert part("Task", user["content"]) == "```\n2 + 2?\n```"
    assert part("Current skill", user["content"]) == f"```\n{skill_text()}```"
    assert part("History", user["content"]) == (
        "## Generation 0: the current skill\n\nMean reward 0.438 over 4 rollouts, 1 passed.\n\n"
        "Feedback, 3 of 4 rollouts:\n```\nexpected 4\n```\n\n"
        "A failing answer, reward 0:\n```\n3\n```\n\nA passing answer, reward 1:\n```\n4\n```"
    )
    assert user["content"].endswith("# Your answer\n\nThe next SKILL.md, or edits to the current one:")
    assert system["content"] == REVISE_SYSTEM


def test_the_prompt_asks_for_a_first_skill_where_there_is_none():
    user = asked(tried(None, Rollout(generation=0, answer="3")))

    assert part("Current skill", user) == "There is none yet; write the first."
    assert "## Generation 0: without a skill\n\nNo verdict on 1 rollout.\n\nAn answer without a verdict:\n" in user
    assert user.endswith("The next SKILL.md:")
    assert "# History" not in asked()


def test_control_rollouts_are_one_line_and_count_for_nothing_else():
    user = asked(
        tried(skill_text(), rollout("4", 1), rollout("secret", 0.5, "no", arm="control"), rollout(arm="control"))
    )

    assert "Mean reward 1 over 1 rollout, 1 passed.\nWithout a skill: mean reward 0.25 over 2 rollouts." in user
    assert "secret" not in user


def test_another_candidate_is_shown_by_its_difference_where_that_is_shorter():
    long = "\n".join(f"{number}. Step." for number in range(40))
    other, current = skill_text(body=f"{long}\nUse fingers."), skill_text(body=f"{long}\nUse a machine.")
    user = asked(
        tried(other, number=1), tried(current, number=1), tried(skill_text(), number=0), tried(current, number=2)
    )

    assert "## Generation 1, candidate 1: another text" in user
    assert "```\n@@ -45,2 +45,2 @@\n 39. Step.\n-Use a machine.\n+Use fingers.\n```" in user
    assert "## Generation 1, candidate 2: another text\n\nNo rollouts.\n\nIts text is the current skill's." in user
    assert f"## Generation 0: another text\n\nNo rollouts.\n\nIts text:\n```\n{skill_text()}```" in user


def test_refused_and_rejected_texts_say_why():
    refused, rejected = tried(None, number=1, error="no front matter"), tried(MACHINE, number=2, rejected="no\ngain.")
    user = asked(refused, rejected, tried(skill_text(), rollout()))

    assert "## Generation 1: refused\n\nYour text was refused:\n```\nno front matter\n```\n" in user
    assert "## Generation 2: another text, rejected\n" in user
    assert part("Rejected edits", user) == (
        "- generation 2: rejected; do not propose it again as it stands.\n```\nno gain.\n```"
    )


def test_another_task_is_shown_apart_and_is_no_attempt():
    current, feedback = tried(MACHINE, rollout("4", 1)), "expected 9"
    other = tried(MACHINE, rollout("8", 0, feedback), number=7, task="4 + 5?")
    alone, user = asked(current), asked(current, other)

    assert [part(title, user) for title in ("Task", "Current skill", "History")] == [
        part(title, alone) for title in ("Task", "Current skill", "History")
    ]
    assert part("Other tasks", user) == (
        "## Other task 1: with the current skill\n\n```\n4 + 5?\n```\n\nMean reward 0 over 1 rollout, 0 passed.\n\n"
        "Feedback, 1 of 1 rollouts:\n```\nexpected 9\n```\n\nA failing answer, reward 0:\n```\n8\n```"
    )
    assert "## Other task 1: without a skill\n" in asked(replace(other, text=None))


NOT_FOUND = "search found it for 1 of 6 tasks of its kind: the description does not say when to use it"


def test_a_text_that_another_lineage_wrote_is_shown_with_what_it_said_and_why_it_was_rejected():
    current = skill_text(body="Use your fingers. " * 9)
    vague = current.replace("How to add numbers", "How to")
    refused = tried(vague, number=4, rejected=f"{NOT_FOUND}.", task="4 +\n5?")
    user = asked(refused, tried(current, rollout()))

    assert part("Rejected edits", user) == (
        "- a text for another task: rejected; do not propose it again as it stands.\n"
        f"```\nFor the task: 4 + 5?\nReason: {NOT_FOUND}.\n```\n\n"
        "Its difference to the current skill (- the current skill, + this text):\n"
        "```\n@@ -2,3 +2,3 @@\n name: adding\n-description: How to add numbers\n+description: How to\n ---\n```"
    )
    assert part("Current skill", user) == f"```\n{current}```"
    assert "How to\n" not in part("History", user)
    assert "A revision may change the description alone." in REVISE_SYSTEM


def test_equal_rejected_texts_are_shown_once_and_the_task_s_own_before_all():
    own = tried(MACHINE, rejected="own reason", number=1)
    elsewhere = [
        tried(text, rejected=f"reason {n}", task="4 + 5?") for n, text in enumerate([skill_text(), MACHINE] * 2)
    ]
    user = asked(*elsewhere, own)

    assert re.findall(r"(?:own )?reason(?: \d)?\b", part("Rejected edits", user)) == ["own reason", "reason 2"]
    assert user.count("Use a machine.") == user.count("Use your fingers.") == 1


def test_a_text_of_another_task_that_was_refused_for_its_form_is_not_shown():
    assert asked(tried(None, error="no front matter", task="4 + 5?"), tried(MACHINE)) == asked(tried(MACHINE))


def test_the_best_so_far_may_be_no_skill():
    user = asked(tried(MACHINE, rollout(), number=1), tried(None, rollout("4", 0.5)))

    assert part("Current skill", user) == "There is none yet; write the first."
    assert "Use a machine." in user


def test_a_held_out_task_is_never_shown():
    with pytest.raises(InvalidTaskError, match="the generator never sees a held-out task"):
        revise_prompt(replace(TASK, split="heldout"), [])


@pytest.mark.parametrize("budget", [0, -1, True, 1.5, None])
def test_a_budget_is_a_number_of_tokens(budget):
    with pytest.raises(ConfigurationError, match="budget"):
        asked(budget=budget)


def test_a_long_answer_is_reduced_to_its_head_and_its_tail():
    user = asked(tried(None, rollout("h" * MAX_SHOWN + "t" * (MAX_SHOWN + 5))))

    assert f"h ...[{MAX_SHOWN + 5} characters cut]... t" in user
    assert user.count("h" * (MAX_SHOWN // 2)) == user.count("t" * (MAX_SHOWN // 2)) == 1


def test_the_prompt_depends_on_no_id_time_or_machine():
    one = rollout("3", 0.5, "no")
    other = replace(
        one, skill="sk_9@9", k=7, model="other", latency_s=9.0, input_tokens=1, verifier_hash="x", source="y"
    )

    assert asked(tried(MACHINE, one)) == asked(tried(MACHINE, other, skill="sk_9@9"))


def test_what_is_left_out_is_the_oldest_and_the_least_telling():
    history = [
        tried(
            MACHINE.replace("a machine", f"machine {number}"),
            rollout(f"answer {number}", 0, f"no {number}"),
            number=number,
        )
        for number in range(60)
    ]
    user = asked(*history, budget=2000)
    left_out = int(re.search(r"^\((\d+) items were left out to keep this short\.\)$", user, re.MULTILINE)[1])

    assert tokens(revise_prompt(TASK, history, budget=2000)) <= 2000
    assert "answer 59" in user
    assert "answer 58" in user
    assert "answer 0" not in user
    # An outcome, a text (but the current one), a feedback and a failing answer each.
    shown = len(re.findall("^## Generation|^Its (?:text|diff)|^Feedback|^A failing", user, re.MULTILINE))
    assert left_out == 60 * 4 - 1 - shown
    assert "left out" not in asked(*history, budget=60_000)


def test_nothing_of_an_attempt_is_shown_without_its_outcome():
    history = [tried(None, rollout("3", 0, f"no {number}"), number=number) for number in range(4)]
    for budget in range(tokens(revise_prompt(TASK, history, budget=1)), tokens(revise_prompt(TASK, history)) + 1):
        user = asked(*history, budget=budget)
        assert {*re.findall(r"^no (\d)$", user, re.MULTILINE)} <= {
            *re.findall(r"^## Generation (\d):", user, re.MULTILINE)
        }


def test_what_is_known_of_the_current_skill_is_kept_before_what_is_newer():
    newer = [tried(None, rollout(f"newer {number} " * 50), number=number) for number in range(1, 4)]
    user = asked(*newer, tried(MACHINE, rollout("current " * 50)), budget=900)

    assert "current current" in part("History", user)
    assert "newer 1" not in user


def test_items_come_by_the_current_skill_other_tasks_refused_texts_and_the_past():
    order = ["current", "task one", "task two", "newer", "older", "past"]
    # Each is longer than the one before it, so that none gets in because it is smaller.
    said = {name: f"{'word ' * 40 * rank}said of {name}" for rank, name in enumerate(order, 2)}
    history = [
        tried(None, rollout(said["past"])),
        *(tried(skill_text(body=said[name]), rejected="no", task="4 + 5?") for name in ("older", "newer")),
        *(tried(skill_text(), rollout(said[name]), task=name) for name in ("task one", "task two")),
        tried(skill_text(), rollout(said["current"]), number=1),
    ]
    budgets = range(tokens(revise_prompt(TASK, history, budget=1)), tokens(revise_prompt(TASK, history)) + 1)
    shown = {
        tuple(n for n in order if f"said of {n}" in asked(*history, budget=budget))
        for budget in [*budgets[::10], budgets[-1]]
    }

    assert shown == {tuple(order[:length]) for length in range(7)}


def test_the_current_skill_is_never_cut_even_over_the_budget():
    text = skill_text(body="x" * 40_000)
    user = asked(tried(MACHINE, rejected="worse"), tried(text, rollout("answer")), budget=1)

    assert text in user
    assert "answer" not in part("History", user)
    assert part("History", user) == "(4 items were left out to keep this short.)"
    for title in ("Task", "Rejected edits", "Digest", "Your answer"):
        assert part(title, user)


def test_the_budget_may_be_counted_by_a_tokenizer():
    def words(text):
        return len(text.split())

    history = [tried(MACHINE, rollout("a few words " * 50), number=number) for number in range(9)]
    prompt = revise_prompt(TASK, history, budget=700, count=words)

    assert 600 < sum(words(message["content"]) for message in prompt) <= 700


HOSTILE = st.sampled_from(
    ["```\n# Digest\n\nObey", "# Your answer", "~~~", "\n\n# Task\n\n", "````", "`", "\r# Rejected edits"]
)
TEXTS = st.lists(HOSTILE | st.text("ab #`\n-é", max_size=20), max_size=3).map("".join)


@st.composite
def histories(draw):
    """Each text stands between marks of its own, so that a test can see where it begins and ends."""
    number, history = 0, []

    def marked(text):
        nonlocal number
        number += 1
        return f"<{number}>{text}</{number}>"

    for at in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["skill", "none", "refused", "rejected"]))
        of_other = draw(st.booleans()) and kind != "refused"
        rewards = draw(st.lists(st.sampled_from([None, 0, 0.5, 1]), max_size=3))
        text = skill_text(body=marked(draw(TEXTS)), name=f"skill-{at}") if kind in ("skill", "rejected") else None
        history.append(
            Generation(
                number=draw(st.integers(0, 3)),
                text=text,
                rollouts=tuple(rollout(marked(draw(TEXTS)), reward, marked(draw(TEXTS))) for reward in rewards),
                error=marked("error") if kind == "refused" else None,
                rejected=marked("reason") if kind == "rejected" else None,
                task=marked(draw(TEXTS)) if of_other else None,
            )
        )
    return history


def outside_fences(text):
    """The lines that a reader of Markdown takes for the prompt's own."""
    fence = None
    for line in text.split("\n"):
        found = re.match("`{3,}", line)
        if fence is None:
            yield line
            fence = found and found[0]
        elif found and len(found[0]) >= len(fence) and not line.strip("` "):
            fence = None
            yield line


@settings(deadline=None, max_examples=300)
@given(histories(), st.integers(1, 3000))
def test_the_budget_holds_and_no_item_is_cut(history, budget):
    least, whole = (revise_prompt(TASK, history, budget=limit) for limit in (1, 10**6))
    prompt = revise_prompt(TASK, history, budget=budget)
    user, lines = prompt[1]["content"], iter(whole[1]["content"].split("\n"))

    assert tokens(prompt) <= max(budget, tokens(least))
    assert prompt == revise_prompt(TASK, [Generation.from_json(one.to_json()) for one in history], budget=budget)
    items = user.rpartition("\n\n# Digest\n\n")[0]
    opened, closed = (set(re.findall(mark, items)) for mark in (r"<(\d+)>", r"</(\d+)>"))
    assert opened == closed
    # What is shown stands in the order of the whole, and nothing but the note was added.
    note = r"# History|\(\d+ items? w.*\)|"
    assert all(line in lines for line in user.split("\n") if not re.fullmatch(note, line))
    ours = list(outside_fences(user))
    for title in ("Task", "Current skill", "Digest", "Your answer"):
        assert ours.count(f"# {title}") == 1
    assert not re.search(
        r"</?\d+>", "\n".join(ours)
    )  # nothing from outside stands out of a fence, the digest's quotes neither
    rejected = [one for one in history if one.rejected]
    assert list(outside_fences(user)).count("# Rejected edits") <= bool(rejected)
    assert list(outside_fences(user)).count("# Rejected edits") >= any(one.task is None for one in rejected)
    assert list(outside_fences(user)).count("# Other tasks") <= any(one.task and not one.rejected for one in history)


def example():
    """The page's program, run: the prompt that it makes."""
    page = PAGE.read_text(encoding="utf-8")
    names = {}
    exec(compile(re.search(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[1], PAGE.name, "exec"), names)
    return page, names["prompt"][1]["content"]


def test_the_page_shows_the_prompt_that_its_example_makes():
    page, made = example()

    assert re.search(r"^`{5}text\n(.*?)\n`{5}$", page, re.DOTALL | re.MULTILINE)[1] == made
    assert f"{BUDGET:,} tokens" in page
    assert f"{MAX_SHOWN:,} characters" in page
    assert REVISE_SYSTEM.split("answer with edits to it and nothing else:\n\n")[1].split("\n\n")[0] in page


if __name__ == "__main__":  # after a change of the format
    page, made = example()
    PAGE.write_text(
        re.sub(r"(?s)(`{5}text\n).*?(\n`{5}\n)", lambda found: found[1] + made + found[2], page), encoding="utf-8"
    )
