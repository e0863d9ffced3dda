"""Export and import: nothing is lost, nothing comes in twice, and it is all or nothing."""

import io
import tarfile
from dataclasses import replace

import pytest

from fakes import MACHINE, skill_text
from skill_plugin import Rollout, Task
from skill_plugin.errors import CapacityError, ConfigurationError, InvalidSkillError, SkillNotFoundError
from skill_plugin.skills.skill_md import parse
from skill_plugin.store import files_of
from skill_plugin.store.signing import copy_key, signing_key

pytestmark = pytest.mark.both_backends

ODD = """---
# written by hand
name: odd-one
description: "Ünïcode: 漢字 🙂 and 'quotes'"
license: MIT
allowed-tools: [Read, Bash]
x-unknown:   {b: 2, a: [1, ~]}   # spaces are kept
metadata:
    author: me
    version: '1.0'
---

Body with trailing space\x20

---
and a rule.


"""


@pytest.fixture
def other(open_store, tmp_path, store):
    """Another database that knows what the first one signed, as one that it was copied into does."""
    made = open_store(tmp_path / "other")
    signing_key(store.database)
    copy_key(store.database, made.database)
    return made


def use(store, name, rewards, tag=""):
    skill = store.get(name)
    for number, reward in enumerate(rewards):
        rollout = Rollout(generation=0, answer="", skill=skill.ref, reward=reward, passed=reward >= 1)
        store.runs.record(Task(f"{name} {tag} {number}"), [rollout], run_id=f"{name}-{tag}-{number}")


def facts(skill):
    return (
        skill.id, skill.name, skill.description, skill.text, skill.version, skill.generation, skill.parent,
        skill.utility, skill.uses, skill.wins, skill.status,
    )  # fmt: skip


def write(root, *texts):
    for text in texts:
        folder = root / parse(text).name
        folder.mkdir(parents=True, exist_ok=True)
        folder.joinpath("SKILL.md").write_bytes(text.encode())
    return root


@pytest.mark.parametrize("place", ["out", "out.zip"])
def test_an_export_comes_back_as_it_was(store, other, tmp_path, place):
    store.add_text(skill_text())
    store.add_text(ODD)
    store.revise_text("adding", MACHINE)
    store.promote("adding")
    use(store, "adding", [1.0, 0.3, 0.0, 1.0])
    store.add_text(skill_text("unused"))
    store.add_text(skill_text("resting"))
    store.retire("resting")
    exported = store.export_skills(tmp_path / place)
    report = other.import_skills(tmp_path / place)

    assert [skill.name for skill in exported] == ["adding", "odd-one", "unused"]
    assert (report.read, report.added, report.refused) == (3, ["adding", "odd-one", "unused"], {})
    assert [facts(skill) for skill in other.list()] == [facts(skill) for skill in store.list("live")]
    assert (other.get("adding").version, other.get("adding").parent, other.get("adding").uses) == (2, 1, 4)
    assert other.get("odd-one").text == ODD
    assert {skill.author for skill in other.list()} == {"import"}
    assert {skill.tier for skill in other.list()} == {"tested"}  # as our own signature says
    assert other.get("adding").id == store.get("adding").id
    assert "adding" in {name for hit in other.search("add") for name in (hit.name, *hit.why["copies"])}
    [event] = other.history("adding")
    assert (event.kind, event.by, event.version) == ("added", "import", 2)


def test_what_came_back_goes_on_where_it_was(store, other, tmp_path):
    store.add_text(skill_text())
    store.revise_text("adding", MACHINE)
    store.promote("adding")
    use(store, "adding", [1.0])
    store.export_skills(tmp_path / "out")
    other.import_skills(tmp_path / "out")
    use(other, "adding", [0.0], "later")

    assert other.get("adding").utility == 0.5
    assert (other.get("adding").uses, other.get("adding").wins) == (2, 1)
    assert other.revise("adding", body="Better.").version == 3
    with pytest.raises(SkillNotFoundError, match="no version 1"):
        other.rollback("adding")


@pytest.mark.parametrize(
    "text",
    [
        skill_text().replace("\n", "\r\n"),
        "\ufeff" + skill_text(),
        skill_text().replace("---\n\n", "metadata: {a: b}\n---\n\n"),
        skill_text().replace("---\n\n", "metadata:\n  a: b\n---\n\n"),
        skill_text(body="no last line end").rstrip("\n"),
        skill_text(body="x" * 65_000),
        "---\n{name: adding, description: How to add}\n---\nBody",
    ],
)
def test_every_letter_comes_back_whatever_the_front_matter(store, other, tmp_path, text):
    store.add_text(text)
    store.export_skills(tmp_path / "out.zip")
    other.import_skills(tmp_path / "out.zip")

    assert other.get("adding").text == text


def test_an_exported_text_is_the_same_after_a_second_journey(store, other, tmp_path):
    store.add_text(ODD)
    use(store, "odd-one", [0.1, 0.7])
    store.export_skills(tmp_path / "one.zip")
    other.import_skills(tmp_path / "one.zip")
    other.export_skills(tmp_path / "two")
    text = tmp_path.joinpath("two", "odd-one", "SKILL.md").read_text(encoding="utf-8")

    assert 'skill-plugin-author: "import"' in text
    assert parse(text).extra["metadata"]["author"] == "me"
    assert f'skill-plugin-utility: "{store.get("odd-one").utility!r}"' in text


def test_importing_again_changes_nothing(store, other, tmp_path):
    store.add_text(skill_text())
    use(store, "adding", [1.0])
    store.export_skills(tmp_path / "out")
    other.import_skills(tmp_path / "out")
    use(other, "adding", [0.0], "later")
    before = (other.list(), other.versions("adding"), other.history("adding"))
    report = other.import_skills(tmp_path / "out")

    assert (report.added, report.staged, report.already_there) == ([], [], ["adding"])
    assert (other.list(), other.versions("adding"), other.history("adding")) == before


def test_the_same_content_under_another_name_is_left_out(store, tmp_path):
    store.add_text(skill_text())
    report = store.import_skills(write(tmp_path / "in", skill_text("summing"), skill_text("totalling")))

    assert (report.added, report.already_there) == ([], ["summing", "totalling"])
    assert [skill.name for skill in store.list()] == ["adding"]


def test_twins_within_one_import_are_one_skill(store, tmp_path):
    report = store.import_skills(
        write(tmp_path / "in", skill_text("a"), skill_text("b"), skill_text("c", body="Else."))
    )

    assert (report.added, report.already_there) == (["a", "c"], ["b"])


def test_a_known_name_with_another_text_becomes_its_next_version(store, skill, tmp_path):
    use(store, "adding", [1.0])
    report = store.import_skills(write(tmp_path / "in", MACHINE))

    assert (report.added, report.staged) == ([], ["adding"])
    assert (store.get("adding").version, store.get("adding").uses) == (1, 1)
    staged = store.get("adding@2")
    assert (staged.status, staged.text, staged.author, staged.parent, staged.generation) == (
        "staged",
        MACHINE,
        "import",
        1,
        1,
    )
    assert store.promote("adding").version == 2
    assert store.history("adding")[-2].kind == "revised"


def test_an_export_of_a_namesake_brings_no_numbers(store, other, tmp_path, skill):
    other.add_text(MACHINE)
    use(other, "adding", [1.0] * 5)
    other.export_skills(tmp_path / "out")
    store.import_skills(tmp_path / "out")

    assert (store.get("adding").id, store.get("adding").uses, store.get("adding").utility) == (skill.id, 0, None)
    assert store.get("adding@2").text == MACHINE


def test_an_id_that_is_taken_gives_way(store, open_store, tmp_path):
    store.add_text(skill_text())
    use(store, "adding", [0.5])
    store.export_skills(tmp_path / "out")
    tenant = open_store(namespace="tenant")
    tenant.import_skills(tmp_path / "out")

    copy, original = tenant.get("adding"), store.get("adding")
    assert copy.id != original.id
    assert facts(replace(copy, id=original.id)) == facts(original)
    tenant.retire("adding")
    assert store.get("adding").status == "live"


def test_fresh_leaves_the_record_aside(store, other, tmp_path):
    store.add_text(skill_text())
    store.revise_text("adding", MACHINE)
    store.promote("adding")
    use(store, "adding", [1.0])
    store.export_skills(tmp_path / "out")
    other.import_skills(tmp_path / "out", fresh=True)

    skill = other.get("adding")
    assert (skill.text, skill.version, skill.uses, skill.utility, skill.parent) == (MACHINE, 1, 0, None, None)
    assert skill.id != store.get("adding").id


def test_one_invalid_skill_stops_all_unless_it_is_skipped(store, tmp_path):
    root = write(tmp_path / "in", skill_text(), skill_text("sorting", body="Sort."))
    for name, text in (("bad", "no front matter"), ("worse", skill_text("Worse"))):
        root.joinpath(name).mkdir()
        root.joinpath(name, "SKILL.md").write_text(text)
    with pytest.raises(
        InvalidSkillError, match=r"bad/SKILL.md: no front matter.*\(and 1 more\); nothing was imported"
    ) as caught:
        store.import_skills(root)
    assert "\n" not in str(caught.value)
    assert store.list() == []
    report = store.import_skills(root, skip_invalid=True)

    assert report.added == ["adding", "sorting"]
    assert {place.split("/")[-2]: reason[:15] for place, reason in report.refused.items()} == {
        "bad": "no front matter",
        "worse": "the skill name ",
    }


def test_a_full_namespace_takes_none_of_them(open_store, tmp_path):
    store = open_store(capacity=2)
    store.add_text(skill_text("mine"))
    with pytest.raises(CapacityError):
        store.import_skills(write(tmp_path / "in", *(skill_text(name, body=name) for name in ("a", "b", "c"))))

    assert [skill.name for skill in store.list()] == ["mine"]


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        (skill_text("x" * 64), True),
        (skill_text("x" * 65), False),
        (skill_text("long", "é" * 1024), True),
        (skill_text("long", "é" * 1025), False),
        (skill_text("under_score"), False),
    ],
)
def test_the_limits_of_the_format_hold_for_imports(store, tmp_path, text, ok):
    name = text.split("\n")[1].removeprefix("name: ")
    tmp_path.joinpath("in", name).mkdir(parents=True)
    tmp_path.joinpath("in", name, "SKILL.md").write_text(text, encoding="utf-8")
    report = store.import_skills(tmp_path / "in", skip_invalid=True)

    assert (len(report.added), len(report.refused)) == (int(ok), int(not ok))
    assert [skill.name for skill in store.list()] == ([name] if ok else [])


def test_a_tarball_made_elsewhere_is_taken(store, tmp_path):
    with tarfile.open(tmp_path / "pack.tar.gz", "w:gz") as archive:
        for name, content in (("pack/adding/SKILL.md", skill_text()), ("pack/adding/scripts/add.py", "1 + 1")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    report = store.import_skills(tmp_path / "pack.tar.gz")

    assert (report.added, report.left_out_files) == (["adding"], 0)
    assert files_of(store, "adding") == {"scripts/add.py": b"1 + 1"}


def test_named_skills_and_versions_are_exported_and_each_only_once(store, skill, tmp_path):
    store.add_text(skill_text("sorting", body="Sort."))
    store.revise("adding", body="Two.")
    written = store.export_skills(tmp_path / "out", ["adding@2"])

    assert [(found.name, found.version) for found in written] == [("adding", 2)]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["adding"]
    with pytest.raises(ConfigurationError, match="name each once"):
        store.export_skills(tmp_path / "two", ["adding@1", "adding@2"])
    with pytest.raises(SkillNotFoundError, match="did you mean 'sorting'"):
        store.export_skills(tmp_path / "two", ["sortin"])
    assert not (tmp_path / "two").exists()


def test_a_skill_that_its_author_keeps_from_models_waits_for_a_person(store, tmp_path):
    text = skill_text("staging-reset", "How to reset the staging database")
    (tmp_path / "staging-reset").mkdir()
    text = text.replace("---\n\n", "disable-model-invocation: true\n---\n\n")
    (tmp_path / "staging-reset" / "skill.md").write_text(text)  # in small letters, as the format's reader takes it
    report = store.import_skills(tmp_path)

    assert (report.for_people, report.added, report.read) == (["staging-reset"], [], 1)
    assert (store.get("staging-reset").status, list(store.search("reset the staging database", min_score=0))) == (
        "staged",
        [],
    )
    store.promote("staging-reset")
    assert store.search("reset the staging database", min_score=0)[0].name == "staging-reset"


def test_a_second_text_that_differs_in_letters_alone_is_one_line(store, tmp_path):
    folder = tmp_path / "in" / "adding"
    folder.mkdir(parents=True)
    for name, body in (("SKILL.md", "Exact."), ("skill.md", "Other.")):
        (folder / name).write_text(skill_text(body=body))
    with pytest.raises(
        InvalidSkillError, match=r"the file name 'skill.md' differs from SKILL.md in case only"
    ) as caught:
        store.import_skills(folder.parent)

    assert "\n" not in str(caught.value)


def test_a_second_export_replaces_the_texts_and_nothing_else(store, tmp_path):
    store.add_text(skill_text())
    store.export_skills(tmp_path / "out")
    (tmp_path / "out" / "adding" / "notes.md").write_text("mine")
    store.revise_text("adding", skill_text(body="Use a machine."))
    store.promote("adding")
    with pytest.raises(InvalidSkillError, match="exists; choose another place, or replace"):
        store.export_skills(tmp_path / "out")
    store.export_skills(tmp_path / "out", replace=True)

    assert "Use a machine." in (tmp_path / "out" / "adding" / "SKILL.md").read_text()
    assert (tmp_path / "out" / "adding" / "notes.md").read_text() == "mine"
