"""SKILL.md texts from strangers: front matter that is made to hurt, and bytes that are not a skill."""

import pytest

from packed_skills import GOOD, make_zip
from skill_plugin.skills.skill_md import MAX_BYTES

FRONT = "---\nname: adding\ndescription: How to add\n{}\n---\n\nBody\n"
LAUGHS = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9) if n else 'lol'}]" for n in range(9))


@pytest.mark.parametrize(
    ("front", "says"),
    [
        (LAUGHS, "YAML alias"),
        ("a: &a [*a]", "YAML alias"),
        (f"deep: {'[' * 4_000}", "nested deeper"),
        (f"deep: {'{a: ' * 1_000}", "nested deeper"),
        ("".join(f"{'  ' * n}a:\n" for n in range(50)), "nested deeper"),
        (f"huge: {'x' * 70_000}", "bytes, |more than"),
        (f"huge: {'9' * 6_000}", "not YAML"),
        (f"huge: {'9' * 60_000}", "the limit is 8192"),
        (f"1:{':1' * 3_000}: x", ""),
        ("\n".join(f"k{n}: {n}" for n in range(100_000)), "more than"),
        ("\n".join(f"k{n}: {n}" for n in range(500)), "200 keys or more"),
        ("date: 2024-13-45", "not YAML"),
        ("x: !!timestamp x", "not YAML"),
        ("x: !!bool maybe", "not YAML"),
        ("x: !!map [a]", "not YAML"),
        ("? []\n: 1\n? []\n: 2", "not YAML"),
        ("x: !!python/object/apply:os.system [ls]", "not YAML"),
        ("x: \x00", "control character"),
        ("x: \x1b[2J", "control character"),
    ],
)
def test_front_matter_that_is_made_to_hurt(refused, tmp_path, front, says):
    message = refused(make_zip(tmp_path / "a.zip", text=FRONT.format(front)))

    assert any(word in message for word in says.split("|"))


@pytest.mark.parametrize("value", ["[" + "a, " * 2_000 + "]", "null", "{a: b}"])
@pytest.mark.parametrize("key", ["name", "description"])
def test_a_name_or_description_of_another_kind(refused, tmp_path, key, value):
    fields = {"name": "adding", "description": "How to add", key: value}
    text = "".join(f"{name}: {given}\n" for name, given in fields.items())
    place = tmp_path / "loose.md"  # without a folder whose name it could have
    place.write_text(f"---\n{text}---\nBody")

    assert f"needs a {key}" in refused(place)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe" + GOOD.encode("utf-16-le"), "not UTF-8"),
        (GOOD.encode() + b"\xc3", "not UTF-8"),
        (GOOD.encode() + b"\xed\xa0\x80", "not UTF-8"),
        (GOOD.encode() + b"\x00", "control character"),
        (b"\x00" * 1000, "control character"),
        (GOOD.encode() + b"x" * MAX_BYTES, f"more than {MAX_BYTES} bytes"),
        (b"", "no front matter"),
    ],
)
def test_bytes_that_are_no_skill(refused, tmp_path, content, says):
    folder = tmp_path / "skills" / "sorting"
    folder.mkdir(parents=True)
    folder.joinpath("SKILL.md").write_bytes(content)

    assert says in refused(make_zip(tmp_path / "a.zip", ("sorting/SKILL.md", content)))
    assert says in refused(tmp_path / "skills")
