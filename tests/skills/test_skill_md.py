import pytest

from fakes import skill_text
from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills.skill_md import MAX_BYTES, SkillDocument, parse, render


def test_a_document_is_read_back_as_it_was_written():
    document = SkillDocument("refunds", "When: a charge is double.", "# Steps\n\n1. Check.", {"license": "MIT"})

    assert parse(render(document)) == document


def test_line_ends_and_a_byte_order_mark_do_not_matter():
    assert parse("\ufeff" + skill_text().replace("\n", "\r\n")) == parse(skill_text())


@pytest.mark.parametrize("name", ["a", "a-1", "x" * 64])
def test_good_names(name):
    assert parse(skill_text(name=name)).name == name


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a--b", "a b", "é", "x" * 65, "../a", "12:30"])
def test_a_name_that_breaks_the_rules(name):
    with pytest.raises(InvalidSkillError, match="name"):
        parse(skill_text(name=name))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no front matter"),
        ("Just a text", "no front matter"),
        ("---\nname: a\ndescription: b\n", "begins 'name: a.* is not closed; put a line '---'"),
        ("---", "holds nothing but its first line"),
        ("---\n- a\n---\nbody", "key: value"),
        ("---\nname: [\n---\nbody", "not YAML"),
        ("---\nname: a\n---\nbody", "description"),
        ("---\nname: a\ndescription: ''\n---\nbody", "description"),
        (skill_text(description="x" * 1025), "1025 characters"),
        (skill_text(body=" \n"), "no body"),
        (skill_text(body="x\x00y"), "control character"),
        (skill_text(body="x\ud800y"), "surrogate"),
        (skill_text(body="x" * MAX_BYTES), "bytes"),
        ("---\nname: a\nname: b\ndescription: c\n---\nbody", "repeats 'name'"),
        ("---\nname: &x a\ndescription: *x\n---\nbody", "alias"),
        (f"---\nname: a\ndescription: b\ndeep: {'[' * 20}{']' * 20}\n---\nbody", "nested"),
        ("---\nname: a\ndescription: b\nx: !!python/object/apply:os.system [ls]\n---\nbody", "not YAML"),
    ],
)
def test_a_malformed_text_says_what_is_wrong(text, says):
    with pytest.raises(InvalidSkillError, match=says) as caught:
        parse(text)

    assert "\n" not in str(caught.value)


def test_what_is_not_a_text_is_refused():
    with pytest.raises(InvalidSkillError, match="bytes"):
        parse(b"---")
