"""Front matter as people write it who do not know YAML."""

import pytest

from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills.front_matter import is_yaml
from skill_plugin.skills.skill_md import parse, render


def skill(front, before=""):
    return f"{before}---\n{front}\n---\n\n1. Do it.\n"


@pytest.mark.parametrize(
    ("line", "description"),
    [
        (
            "description: Chases bills. Trigger words: overdue, dunning.",
            "Chases bills. Trigger words: overdue, dunning.",
        ),
        ("description: Fix C# code, see issue #12 first", "Fix C# code, see issue #12 first"),
        ("description: Ends in a colon:", "Ends in a colon:"),
        ('description: "quoted: yes" and more: no', '"quoted: yes" and more: no'),
        ("description: 'quoted: all'", "quoted: all"),
        ("description: yes", "yes"),
        ("description: 1.10", "1.10"),
        ("description: 2026-11-20", "2026-11-20"),
        ("description: >\n  folded\n  over lines: two", "folded over lines: two"),
        ("description: plain: over\n  two lines", "plain: over two lines"),
        ("description: @mentions and `ticks`", "@mentions and `ticks`"),
        ("description: 100% right, *always*: yes", "100% right, *always*: yes"),
    ],
)
def test_a_description_is_what_its_author_wrote(line, description):
    assert parse(skill(f"name: a\n{line}")).description == description


@pytest.mark.parametrize("name", ["yes", "null-and-void", "on", "1", "0x10", "1e3", "2026-11-20"])
def test_a_name_is_a_text_whatever_it_looks_like(name):
    document = parse(skill(f"name: {name}\ndescription: b"))

    assert document.name == name
    assert parse(render(document)).name == name


@pytest.mark.parametrize(
    "line",
    [
        "argument-hint: [version] [--dry-run]",
        "allowed-tools: Bash(git:*), Read: all",
        "x: 'unclosed",
        "x: a: b",
        "x: - a\n  - b: c: d",
    ],
)
def test_a_broken_line_of_a_key_costs_that_key_alone(line):
    document = parse(skill(f"name: a\n{line}\ndescription: b\nlicense: MIT"))

    assert (document.name, document.description, document.extra["license"]) == ("a", "b", "MIT")
    assert isinstance(document.extra[line.partition(":")[0]], str)


@pytest.mark.parametrize("before", ["\n\n", "<!-- SPDX-License-Identifier: MIT -->\n", "<!-- a\nb -->\n\n", "\ufeff"])
def test_a_comment_may_stand_before_it(before):
    text = skill("name: a\ndescription: b", before)

    assert parse(text).name == "a"


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("name: a\nname: b\ndescription: c: d", "repeats 'name'"),
        ("name: a\nx: &b 1\ny: *b\ndescription: c", "alias"),
        ("name: [\ndescription: c: d", "not YAML"),
        ("just text", "key: value"),
        ("name: a\ndescription:\nx: a: b", "needs a description"),
    ],
)
def test_what_cannot_be_meant_is_refused_still(front, said):
    with pytest.raises(InvalidSkillError, match=said):
        parse(skill(front))


def test_other_readers_are_stricter():
    assert is_yaml("name: a\ndescription: b")
    assert not is_yaml("name: a\ndescription: b: c")


def test_line_ends_of_any_kind_are_read_the_same_twice():
    document = parse(skill("name: a\ndescription: b").replace("\n", "\r\r\n"))

    assert document == parse(skill("name: a\ndescription: b"))
    assert parse(render(document)) == document
