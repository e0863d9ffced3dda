"""What is read of a reply that is more than what was asked for."""

import pytest

from fakes import skill_text
from skill_plugin.errors import InvalidSkillError
from skill_plugin.generators.prompt import read_revision
from skill_plugin.models.replies import document_in, without_thinking

DOCUMENT = skill_text("refunds", "Refund duplicate charges", "1. Check.")
WITH_CODE = skill_text("refunds", "Refund duplicate charges", "1. Check:\n\n```sql\nselect 1\n```")
EDITS = "=== add: end\nMore.\n=== end"


@pytest.mark.parametrize(
    ("reply", "thought_away"),
    [
        ("<think>hm\nhm</think>\nyes", "yes"),
        ("<Thinking>a</Thinking> yes", "yes"),
        ("it began in the template</think>yes", "yes"),
        ("<think>a</think>b<think>c</think>d", "bd"),
        ("a < b, think", "a < b, think"),
        ("<think>never ended", "<think>never ended"),
    ],
)
def test_thinking_is_left_out(reply, thought_away):
    assert without_thinking(reply) == thought_away


@pytest.mark.parametrize("document", [DOCUMENT, WITH_CODE])
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "```markdown\n{}\n```",
        "````\n{}\n````",
        "~~~\n{}\n~~~",
        "Here is the revised skill:\n\n```markdown\n{}\n```",
        "Here is the skill:\n\n{}",
        "<think>\n---\nname: no\n---\n</think>\n\n{}",
        "Sure.\n\n```md\n{}\n```\n\nThis adds the rule.",
    ],
)
def test_the_one_document_is_found(document, around):
    assert read_revision(around.format(document.strip()), current=None).strip() == document.strip()


def test_a_front_matter_in_a_fence_of_its_own_belongs_to_the_body_behind_it():
    front, _, body = DOCUMENT.partition("---\n\n")
    reply = f"```yaml\n{front}---\n```\n\n{body}"

    assert read_revision(reply, current=None) == DOCUMENT


@pytest.mark.parametrize("around", ["Sure!\n{}", "{}\nDone.", "<think>x</think>{}", "```\n{}\n```"])
def test_edits_are_found_too(around):
    assert document_in(around.format(EDITS)) == EDITS


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (f"```\n{DOCUMENT}```\n\nor\n\n```\n{DOCUMENT}```", "holds 2 skills; write one"),
        (f"Either {EDITS}", "no front matter"),
        (f"a\n{EDITS}\nor\n{EDITS}", "several sets of edits"),
        ("I cannot do that.", "no front matter"),
    ],
)
def test_what_is_not_one_document_is_refused(reply, said):
    with pytest.raises(InvalidSkillError, match=said):
        read_revision(reply, current=None)
