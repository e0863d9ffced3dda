"""A skill's record in its own front matter: in and out again, to the letter."""

import dataclasses

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fakes import skill_text
from skill_plugin import Skill
from skill_plugin.errors import InvalidSkillError
from skill_plugin.records import sha256
from skill_plugin.skills.record import SkillRecord, with_record, without_record
from skill_plugin.skills.skill_md import MAX_BYTES, SkillDocument, parse, render
from skill_plugin.store.tables import utc_now

FRONT = "---\nname: adding\ndescription: How to add numbers\n{}---\n\nUse your fingers.\n"


def skill(text=None, **changes):
    values = {
        "id": "sk_0123456789ab",
        "namespace": "default",
        "name": "adding",
        "description": "How to add numbers",
        "version": 3,
        "status": "live",
        "utility": 0.1 + 0.2,
        "uses": 41,
        "wins": 7,
        "text": skill_text() if text is None else text,
        "author": "generator",
        "generation": 2,
        "parent": 1,
        "live_version": 3,
        "tier": "tested",
        "pinned": False,
        "created_at": utc_now(),
    }
    return Skill(**{**values, **changes})


RECORD = SkillRecord("sk_0123456789ab", 3, 2, 1, 0.1 + 0.2, 41, 7, "tested")


def metadata(text):
    return parse(text).extra["metadata"]


def test_the_record_is_metadata_of_strings():
    made = metadata(with_record(skill()))

    assert all(isinstance(value, str) for value in made.values())
    assert (made["skill-plugin-id"], made["skill-plugin-version"], made["skill-plugin-parent"]) == (
        RECORD.skill_id,
        "3",
        "1",
    )
    assert (made["skill-plugin-utility"], made["skill-plugin-author"]) == (repr(0.1 + 0.2), "generator")


@pytest.mark.parametrize(
    "front",
    [
        "",
        "license: MIT\n# a comment\nallowed-tools: [Read, Bash]\n",
        "metadata:\n  author: me\n  version: '1.0'\n",
        "metadata:  \n     author: me # why\nlicense: MIT\n",
        "metadata:\n  nested:\n    - a\n    - b\n  # the end\n",
        "compatibility: |\n  metadata:\n    not: this\n\n",
        "x-unknown: {a: [1, 2], b: ünïcode 漢字 🙂}\n",
        "# metadata: none\n",
        "tail: |+\n  kept\n\n\n",
    ],
)
def test_a_record_goes_in_and_out_and_leaves_every_letter(front):
    text = FRONT.format(front)
    made = with_record(skill(text))

    assert made != text
    assert without_record(made) == (text, RECORD)
    assert parse(made).body == parse(text).body
    own = metadata(text) if isinstance(parse(text).extra.get("metadata"), dict) else {}
    assert {key: value for key, value in metadata(made).items() if not key.startswith("skill-plugin-")} == own


@pytest.mark.parametrize(
    "text",
    [
        FRONT.format("metadata: {author: me}\n"),
        FRONT.format("metadata: me\n"),
        FRONT.format("metadata:\n"),
        FRONT.format("metadata:\n\n  author: me\n"),
        FRONT.format("metadata:\n- a\n"),
        FRONT.format("metadata:\n  - a\n  - b\n"),
        FRONT.format("metadata:\n      # further in than the keys\n  author: me\n"),
        FRONT.format("'metadata': {author: me}\n"),
        FRONT.format("? metadata\n: {author: me}\n"),
        FRONT.format('notes: "one\nmetadata:\n  two"\n'),
        FRONT.format("...\n"),
        "---\n{name: adding, description: How to add numbers}\n---\nUse your fingers.",
        "---\n  name: adding\n  description: How to add numbers\n---\nUse your fingers.",
        "\ufeff" + skill_text(),
        skill_text().replace("\n", "\r\n"),
        skill_text(body="x" * (MAX_BYTES - 100)),
        FRONT.format('metadata:\n  skill-plugin-id: "mine"\n'),
        FRONT.format('metadata:\n  skill-plugin-note: "mine"\n  other: x\n'),
    ],
)
def test_where_a_record_would_spoil_the_text_the_text_goes_without(text):
    made = with_record(skill(text))

    assert parse(made) == parse(text)
    assert without_record(made) == (text, None)
    assert made == text


def test_a_record_in_a_text_is_not_written_twice():
    once = with_record(skill())

    assert with_record(skill(once, id="sk_ffffffffffff")) == once


def test_an_edited_text_comes_without_the_record_and_without_its_lines():
    made = with_record(skill()).replace("fingers", "toes")

    assert without_record(made) == (skill_text(body="Use your toes."), None)


def test_a_record_is_ours_if_our_key_signed_it_and_nothing_of_it_was_changed():
    made = with_record(skill(), b"ours")

    assert without_record(made, b"ours") == (skill_text(), dataclasses.replace(RECORD, is_ours=True))
    for key, text in (
        (b"theirs", made),
        (None, made),
        (b"ours", with_record(skill())),
        (b"ours", made.replace('-uses: "41"', '-uses: "42"')),
        (b"ours", made.replace('-id: "sk_0', '-id: "sk_1')),
        (b"ours", made.replace("  skill-plugin-id", '  skill-plugin-other: "x"\n  skill-plugin-id')),
    ):
        read, record = without_record(text, key)
        assert (read, record.is_ours) == (skill_text(), False)


@pytest.mark.parametrize("utility", [None, 0.0, 1.0, 1 / 3, 5e-324])
def test_numbers_come_back_exactly(utility):
    text, record = without_record(with_record(skill(utility=utility, parent=None, uses=0, wins=0)))

    assert text == skill_text()
    assert (record.utility, record.parent, record.uses, record.wins) == (utility, None, 0, 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "../../etc"),
        ("id", "sk_"),
        ("version", "0"),
        ("version", "-1"),
        ("version", str(2**31)),
        ("version", "9" * 5000),
        ("generation", "-1"),
        ("parent", "-1"),
        ("parent", str(2**70)),
        ("utility", "nan"),
        ("utility", "1.01"),
        ("utility", "-0.5"),
        ("uses", "3"),
        ("uses", str(2**40)),
        ("wins", "99"),
        ("wins", "many"),
    ],
)
def test_a_forged_record_is_not_believed(key, value):
    """Its checksum is right: whoever can write a record can write that too."""
    values = {
        "id": RECORD.skill_id,
        "version": "3",
        "generation": "2",
        "parent": "1",
        "utility": "0.5",
        "uses": "41",
        "wins": "7",
        "sha256": sha256(skill_text()),
    }
    lines = "".join(
        f'  skill-plugin-{name}: "{given}"\n' for name, given in ({"block": "own"} | values | {key: value}).items()
    )
    made = FRONT.format(f"metadata:\n{lines}")

    assert without_record(made) == (skill_text(), None)


def test_a_missing_number_is_no_record():
    lines = [line for line in with_record(skill()).splitlines(keepends=True) if "-uses" not in line]

    assert without_record("".join(lines)) == (skill_text(), None)


@pytest.mark.parametrize("text", ["", "no front matter", "---\nname: a\n", skill_text(), FRONT.format("a: 1\n")])
def test_a_text_without_a_record_is_left_alone(text):
    assert without_record(text) == (text, None)


printable = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t"), max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | printable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(printable, inner, max_size=3),
    max_leaves=6,
)
extras = st.dictionaries(printable | st.just("metadata"), values, max_size=4)


@settings(deadline=None, max_examples=150)
@given(extra=extras, body=printable, own=st.booleans(), utility=st.none() | st.floats(0, 1), uses=st.integers(0, 99))
def test_with_and_without_are_inverse_for_any_document(extra, body, own, utility, uses):
    if own:
        extra = {**extra, "metadata": {"author": "me", "tags": ["a"]}}
    extra = {key: value for key, value in extra.items() if key not in ("name", "description")}
    try:
        text = render(SkillDocument("adding", "How to add numbers", body, extra))
        document = parse(text)
    except (InvalidSkillError, yaml.YAMLError):
        assume(False)
    given_skill = skill(text, utility=utility, uses=uses, wins=uses // 2)
    made = with_record(given_skill)

    read, record = without_record(made)
    assert read == text
    expected = dataclasses.replace(RECORD, utility=utility, uses=uses, wins=uses // 2)
    assert record == (None if made == text else expected)
    assert (parse(made).name, parse(made).description, parse(made).body) == (
        document.name,
        document.description,
        document.body,
    )
    others = [(key, value) for key, value in parse(made).extra.items() if key != "metadata"]
    assert others == [(key, value) for key, value in document.extra.items() if key != "metadata"]


line = st.sampled_from(
    [
        "metadata:\n", "metadata: {a: b}\n", "metadata:\n\n", "  a: b\n", "    # note\n", "# note\n", "license: MIT\n", "  - x\n",
        "notes: |\n", "notes: >-\n", "\n", "  \n", "  metadata:\n", 'q: "open\n', 'close"\n', "...\n", "é: 漢\n", "\tx\n",
        '  skill-plugin-id: "x"\n', '  skill-plugin-sha256: "x"\n', "metadata :\n", "? metadata\n", ": x\n", "metadata:\r\n",
    ]
)  # fmt: skip


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.filter_too_much])
@given(before=st.lists(line, max_size=4), after=st.lists(line, max_size=6), body=printable)
def test_with_and_without_are_inverse_for_any_valid_text(before, after, body):
    text = f"---\n{''.join(before)}name: adding\ndescription: How to add\n{''.join(after)}---\n{body}"
    try:
        document = parse(text)
    except InvalidSkillError:
        assume(False)
    assume("skill-plugin-sha256" not in text)
    made = with_record(skill(text))

    assert without_record(made) == (text, None if made == text else RECORD)
    assert parse(made).body == document.body
