"""Edits change what they name and nothing else, or are refused in one line."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import skill_text
from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.skills.edits import Edit, apply_edits, are_edits, parse_edits, sections
from skill_plugin.skills.skill_md import body_of, parse

BODY = """\
Read the order first.

## Steps

1. Check the ledger.
2. Refund once.

### Partial refunds

Round down.

## Code ##
```bash
## no heading
refund --once
```

## Notes

Ask when in doubt."""
SKILL = f"""\
---
# a comment of a person
name: refunds
license: MIT
metadata: {{owner: billing, since: 2026-01-31}}
description: How to refund
---

{BODY}
"""


def edited(*lines, limit=None, current=SKILL):
    return body_of(apply_edits(current, "\n".join([*lines, "=== end"]), limit=limit))


def test_a_replaced_section_keeps_its_heading_and_its_neighbours():
    assert edited("=== replace: ## Notes", "", "Ask Ada.", "", "") == BODY.replace("Ask when in doubt.", "Ask Ada.")
    assert edited("=== replace: ### Partial refunds", "Round up.") == BODY.replace("Round down.", "Round up.")


def test_a_section_holds_those_below_it():
    assert edited("=== replace: ## Steps", "Call Ada.") == BODY.replace(
        BODY[BODY.index("1. Check") : BODY.index("\n\n## Code")], "Call Ada."
    )


def test_a_replacement_may_bring_the_heading_of_its_section():
    assert edited("=== replace: ## Notes", "## Notes", "", "Ask Ada.") == BODY.replace("Ask when in doubt.", "Ask Ada.")
    assert edited("=== replace: ## Notes", "## Help", "Ask Ada.").endswith("```\n\n## Help\nAsk Ada.")


def test_added_lines_go_to_the_end_of_the_section():
    assert edited("=== add: ### Partial refunds", "Never twice.") == BODY.replace(
        "Round down.", "Round down.\nNever twice."
    )
    assert edited("=== add: top", "", "Then the charge.").startswith(
        "Read the order first.\n\nThen the charge.\n\n## Steps"
    )


def test_a_new_section_is_added_at_the_end():
    assert edited("=== add: end", "## Checks", "- Look.") == f"{BODY}\n\n## Checks\n- Look."
    assert edited("=== add: end", "- Look.", current=skill_text()) == "Use your fingers.\n\n- Look."


def test_a_deleted_section_goes_with_its_heading():
    assert edited("=== delete: ## Notes") == BODY.removesuffix("\n\n## Notes\n\nAsk when in doubt.")
    assert edited("=== delete: top") == BODY.removeprefix("Read the order first.\n\n")
    assert edited("=== delete: ## Steps").startswith("Read the order first.\n\n## Code ##")


def test_several_edits_do_not_move_each_other():
    forth = ["=== add: ## Steps", "3. Tell them.", "=== replace: ### Partial refunds", "Round up."]
    back = [*forth[2:], *forth[:2]]
    wanted = BODY.replace("Round down.", "Round up.\n3. Tell them.")

    assert edited(*forth) == edited(*back) == wanted
    assert edited("=== add: end", "The end.", "=== add: ## Notes", "Ada knows.") == f"{BODY}\nAda knows.\n\nThe end."


def test_the_front_matter_survives_to_the_letter():
    text = apply_edits(SKILL, "=== add: ## Notes\nAsk Ada.\n=== end")

    assert text.startswith(SKILL[: SKILL.index("Read the order")])


def test_a_replaced_description_keeps_the_keys_we_do_not_know():
    text = apply_edits(SKILL, "=== replace: description\nHow to refund:\n  charges\n=== end")

    assert parse(text).description == "How to refund: charges"
    assert (parse(text).extra, parse(text).body, parse(text).name) == (parse(SKILL).extra, BODY, "refunds")


def test_what_looks_like_a_heading_in_a_code_fence_is_none():
    names = ["top", "## Steps", "### Partial refunds", "## Code", "## Notes"]

    assert [section.name for section in sections(BODY.split("\n"))] == names
    assert sections(["~~~", "# a", "```", "# b", "~~~ ", "#c", "    # d", "# e #"])[1].name == "# e"


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ("=== replace: ## Stepps\nx\n=== end", "no section '## Stepps'; name one of 'top', '## Steps'"),
        ("=== replace: Steps\nx\n=== end", "no section 'Steps'"),
        ("=== replace: # Steps\nx\n=== end", "no section '# Steps'"),
        ("=== replace: ## no heading\nx\n=== end", "no section '## no heading'"),
        ("=== replace: ## Steps\n\n=== end", "no text; write the new lines"),
        ("=== add: end\n=== end", "no text"),
        ("=== replace: description\n\n=== end", "no text"),
        ("=== delete: ## Steps\nx\n=== end", "a deletion takes none"),
        ("=== delete: description\n=== end", "can only be replaced"),
        ("=== replace: end\nx\n=== end", "where a new section is added"),
        ("=== remove: ## Steps\n=== end", "unknown operation '=== remove: ## Steps'; write"),
        ("=== replace:\nx\n=== end", "unknown operation '=== replace:'"),
        ("=== replace ## Steps\nx\n=== end", "unknown operation"),
        ("=== end", "there are no edits"),
        ("=== replace: ## Steps\nx", "end with 'x'; end them with the line '=== end'"),
        ("Sure!\n=== replace: ## Steps\nx\n=== end", "outside the edits: 'Sure!'"),
        ("=== replace: ## Steps\nx\n=== end\nDone.", "outside the edits: 'Done.'"),
        ("=== delete: ## Steps\n=== end\n=== end", "outside the edits: '=== end'"),
        ("=== replace: ## Steps\nx\n=== add: ## Steps\ny\n=== end", "overlap: 2 edits name '## Steps' twice"),
        ("=== replace: description\nx\n=== replace: description\ny\n=== end", "overlap"),
        ("=== delete: ## Steps\n=== add: ### Partial refunds\ny\n=== end", "a part of '## Steps'"),
        ("=== add: ## Notes\n```python\n=== end", "opens a code fence ``` and does not close it"),
        (f"=== replace: description\n{'x' * 1025}\n=== end", "1025 characters"),
        ("=== add: end\nx\x00\n=== end", "control character"),
        (f"=== add: end\n{'x' * 65_400}\n=== end", "bytes"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(edits, says):
    with pytest.raises(InvalidSkillError) as caught:
        apply_edits(SKILL, edits, limit=None)

    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert are_edits(edits)


@pytest.mark.parametrize(
    "edits",
    [
        "=== replace: ## Notes\nAsk when in doubt.\n=== end",
        "=== replace: description\nHow to  refund\n=== end",
    ],
)
def test_edits_that_change_nothing_give_the_text_to_the_letter(edits):
    assert apply_edits(SKILL, edits) == SKILL


def test_a_heading_that_two_sections_have_is_ambiguous():
    twice = skill_text(body="## A\n\nx\n\n## B\n\n## A\n\ny")

    with pytest.raises(InvalidSkillError, match="'## A' is ambiguous: 2 have this heading"):
        edited("=== delete: ## A", current=twice)
    assert edited("=== add: ## B", "z", current=twice) == "## A\n\nx\n\n## B\nz\n\n## A\n\ny"


def test_a_body_cannot_be_deleted_altogether():
    with pytest.raises(InvalidSkillError, match="no body"):
        edited("=== delete: top", current=skill_text())


def test_too_large_an_edit_says_how_large_and_what_the_limit_is():
    current = skill_text(body=f"{'a' * 544}\n\n# B\n{'b' * 449}")

    with pytest.raises(
        InvalidSkillError, match=r"change 90\.0% of the body \(450 characters added and 450 deleted, of 1000\)"
    ):
        edited("=== replace: # B", "c" * 449, current=current, limit=0.5)
    with pytest.raises(InvalidSkillError, match=r"the limit is 89\.0%, here 890 characters"):
        edited("=== replace: # B", "c" * 449, current=current, limit=0.89)
    assert edited("=== replace: # B", "c" * 449, current=current, limit=0.9).endswith("c")
    with pytest.raises(InvalidSkillError, match=r"limit is 50\.0%"):
        apply_edits(current, f"=== add: end\n{'x' * 999}\n=== end")
    with pytest.raises(ConfigurationError, match="share"):
        edited("=== delete: # B", current=current, limit=-1)


def test_a_small_edit_is_not_refused_for_its_share_of_a_short_skill():
    # An empty line, the text and a line's end for each.
    assert edited("=== add: end", "x" * 298, current=skill_text(), limit=0.01).endswith("x")
    with pytest.raises(InvalidSkillError, match=r"301 characters added .* the limit is 1\.0%, here 300 characters"):
        edited("=== add: end", "x" * 299, current=skill_text(), limit=0.01)


def test_a_limit_of_nothing_leaves_the_description_to_change():
    described = apply_edits(SKILL, "=== replace: description\nWhen a charge is double\n=== end", limit=0)

    assert (parse(described).description, parse(described).body) == ("When a charge is double", BODY)
    with pytest.raises(InvalidSkillError, match=r"the limit is 0\.0%, here 0 characters"):
        edited("=== add: end", "x", limit=0)


def test_edits_are_read_in_the_order_they_were_written():
    assert parse_edits("=== add: ##  Steps ##\r\n\r\n x \r\n=== delete: top\n=== end  \n\n") == [
        Edit("add", "## Steps", ("", " x")),
        Edit("delete", "top", ()),
    ]


LINES = st.lists(st.sampled_from(["", "text", "- item", "# A", "## A", "## B", "### C ###", "```", "~~~", "    # D"]))


@given(LINES)
def test_sections_lie_in_each_other_or_apart(lines):
    found = sections(lines)

    assert all(0 <= one.start < one.end <= len(lines) for one in found)
    for one, other in combinations(found, 2):
        assert one.start < other.start
        assert other.start >= one.end or other.end <= one.end


@settings(deadline=None, max_examples=300)
@given(LINES, st.data())
def test_an_edit_touches_no_line_outside_its_section(lines, data):
    body = "\n".join(["first", *lines]).strip("\n")
    found = sections(body.split("\n"))
    names = [section.name for section in found]
    section = data.draw(st.sampled_from([section for section in found if names.count(section.name) == 1]))
    before, after = body.split("\n")[: section.start], body.split("\n")[section.end :]
    new = edited(f"=== replace: {section.name}", "a new line", current=skill_text(body=body)).split("\n")

    assert new[: len(before)] == before
    assert new[len(new) - len(after) :] == after
    assert "a new line" in new[len(before) : len(new) - len(after)]
