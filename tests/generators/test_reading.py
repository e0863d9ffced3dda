"""What is read out of a generator's completion: a whole SKILL.md, edits, or why it is neither."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import MACHINE, skill_text
from skill_plugin.errors import InvalidSkillError
from skill_plugin.generators.prompt import REVISE_SYSTEM, read_revision


@pytest.mark.parametrize("completion", [skill_text(), skill_text() + "\n\n", f"```\n{skill_text()}```"])
def test_a_copy_of_the_current_skill_is_that_text_to_the_letter(completion):
    assert read_revision(completion, current=skill_text()) == skill_text()


@pytest.mark.parametrize("completion", ["{}", "\n\n{}\n", "```\n{}```", "```markdown\n{}\n```", "````md\n{}\n````"])
def test_a_revision_may_stand_in_one_fence(completion):
    assert read_revision(completion.format(skill_text()), current=None).strip() == skill_text().strip()
    edits = completion.format("=== add: end\n```\na fence\n```\n=== end\n")
    assert read_revision(edits, current=skill_text(), max_change=None).endswith("\n\n```\na fence\n```\n")


@pytest.mark.parametrize(
    ("completion", "says"),
    [
        ("", "no front matter"),
        (skill_text(name="Not A Name"), "name"),
        ("=== add: end\nMore.", "end them with"),
        (f"=== replace: top\n{'Use a machine. ' * 20}\n=== end", "limit is 50.0%, here 300 characters"),
        ("---\nname: adding\ndescription: How to add", "front matter that begins 'name: adding.* is not closed"),
        (
            REVISE_SYSTEM[REVISE_SYSTEM.index("---\n") : REVISE_SYSTEM.index("\n\nOr, when")],
            "'<words in lower.* is copied from",
        ),
        (None, "NoneType"),
        (b"=== end", "bytes"),
        ("x" * 10**6, "1000000 bytes"),
    ],
)
def test_a_malformed_revision_says_what_is_wrong(completion, says):
    with pytest.raises(InvalidSkillError, match=says):
        read_revision(completion, current=skill_text())


def test_edits_need_a_skill_to_edit():
    with pytest.raises(InvalidSkillError, match="no current skill"):
        read_revision("=== add: end\nMore.\n=== end", current=None)


@pytest.mark.parametrize(
    "completion",
    [
        skill_text(description="Adds numbers such as 2 + 2"),
        "=== replace: description\nAdds numbers such as 2 + 2\n=== end",
    ],
)
def test_a_revision_may_change_the_description_alone(completion):
    read = read_revision(completion, current=skill_text(), max_change=0, max_rewrite=0)

    assert read == skill_text(description="Adds numbers such as 2 + 2")


def test_another_name_is_another_skill():
    other = skill_text(name="sorting", body="x" * 999)

    assert read_revision(other, current=skill_text(), max_rewrite=0.1) == other


def test_a_rewrite_is_limited_only_where_it_is_asked_for():
    current = skill_text(body="x" * 400)

    assert read_revision(MACHINE, current=current) == MACHINE
    with pytest.raises(InvalidSkillError, match=r"the rewrite change.* limit is 90\.0%"):
        read_revision(MACHINE, current=current, max_rewrite=0.9)


CURRENT = skill_text(body="Intro.\n\n## A\n\nOne.\n\n### B\n\nTwo.\n\n```\n# no\n```\n\n## C\n\nThree.")
ANSWERS = [
    MACHINE,
    CURRENT,
    "=== replace: ## A\nNew.\n=== add: ## C\nFour.\n=== delete: ### B\n=== end",
    "=== add: end\n## D\n```\nx\n```\n=== replace: description\nHow to: add\n=== end",
    "```markdown\n=== replace: top\nIntro?\n=== end\n```",
]
PIECES = [
    "",
    "=== ",
    "=== end\n",
    "=== replace: ",
    "=== add: end\n",
    "## A\n",
    "```",
    "---\n",
    "\x00",
    "\ud800",
    "\ufeff",
    "\r\n",
]


@settings(deadline=None, max_examples=2000)
@given(st.data())
def test_whatever_is_written_is_a_skill_or_refused(data):
    text = data.draw(st.sampled_from(ANSWERS))
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + data.draw(st.sampled_from(PIECES) | st.text(max_size=5)) + text[end:]
    current = data.draw(st.sampled_from([CURRENT, None]))
    read = MACHINE
    with suppress(InvalidSkillError):
        read = read_revision(text, current=current, max_change=None)
    assert read_revision(read, current=None) == read
