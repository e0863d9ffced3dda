"""A store and a folder in step: what is new or changed goes to the other side, and what is not certain is named."""

import json

import pytest

from fakes import skill_text
from skill_plugin import Rollout, Task
from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.skills.record import without_record
from skill_plugin.store import sync_skills
from skill_plugin.store.sync.sync_state import STATE_FILE


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkout" / "skills"


@pytest.fixture
def lay(folder):
    def run(text, place=None):
        path = folder / (place or text.split("\n")[1].removeprefix("name: ")) / "SKILL.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    return run


@pytest.fixture
def sync(store, folder):
    """Syncs, and returns what was done to whom."""

    def run(**options):
        report = sync_skills(store, folder, **options)
        return {step.name: (step.action, step.result) for step in report.steps}

    return run


def text_in(path):
    return without_record(path.read_text(encoding="utf-8"))[0]


def promote(store, name, body):
    text = skill_text(name, body=body)
    store.revise_text(name, text)
    store.promote(name)
    return text


@pytest.mark.both_backends
def test_new_skills_go_both_ways_and_then_nothing_is_left_to_do(store, folder, lay, sync):
    lay(skill_text("filed", body="From the folder."))
    store.add_text(skill_text("kept", body="From the store."))

    assert sync() == {"filed": ("import", "live"), "kept": ("write", "written")}
    assert store.get("filed").status == "live"
    assert text_in(folder / "kept" / "SKILL.md") == store.get("kept").text
    assert sync() == {}


def test_a_folder_that_is_not_there_is_made(folder, store, sync):
    assert sync() == {}
    assert not folder.exists()
    store.add_text(skill_text())

    assert sync() == {"adding": ("write", "written")}
    assert (folder / "adding" / "SKILL.md").exists()


def test_a_text_changed_in_the_folder_waits_staged_and_is_not_asked_about_again(store, lay, sync):
    path = lay(skill_text())
    sync()
    lay(skill_text(body="Better."))

    assert sync() == {"adding": ("import", "staged")}
    assert store.get("adding").text == skill_text()
    assert sync() == {}
    store.promote("adding")
    assert sync() == {}
    assert path.read_text() == skill_text(body="Better.")


def test_a_version_that_went_live_is_written_where_the_file_lies(store, folder, lay, sync):
    path = lay(skill_text("acme-parts"), "group/parts")
    path.with_name("script.py").write_text("mine")
    sync()
    text = promote(store, "acme-parts", "Better.")

    assert sync() == {"acme-parts": ("write", "written")}
    assert text_in(path) == text
    assert path.with_name("script.py").read_text() == "mine"
    assert not (folder / "acme-parts").exists()
    assert sync() == {}


def test_uses_and_utility_alone_write_nothing(store, folder, sync):
    skill = store.add_text(skill_text())
    sync()
    before = (folder / "adding" / "SKILL.md").read_bytes()
    rollout = Rollout(generation=0, answer="", skill=skill.ref, reward=1.0, passed=True)
    store.runs.record(Task("add"), [rollout], run_id="r")

    assert sync() == {}
    assert (folder / "adding" / "SKILL.md").read_bytes() == before


def test_what_waits_or_is_out_of_use_is_not_written(store, folder, sync):
    store.add_text(skill_text("staged", body="S."), author="generator")
    store.add_text(skill_text("retired", body="R."))
    store.retire("retired")
    store.add_text(skill_text("quarantined", body="Q."))
    store.quarantine("quarantined")

    assert sync() == {}
    assert not folder.exists()


def test_a_change_on_both_sides_is_a_conflict_that_changes_nothing(store, lay, sync):
    path = lay(skill_text())
    sync()
    promote(store, "adding", "The store's.")
    lay(skill_text(body="The folder's."))
    for _ in range(2):
        assert sync() == {"adding": ("conflict", "")}
    assert path.read_text() == skill_text(body="The folder's.")
    assert len(store.versions("adding")) == 2


@pytest.mark.parametrize("prefer", ["store", "files"])
def test_a_conflict_is_decided_by_who_is_preferred(store, lay, sync, prefer):
    path = lay(skill_text())
    sync()
    live = promote(store, "adding", "The store's.")
    filed = skill_text(body="The folder's.")
    lay(filed)

    assert sync(prefer=prefer) == {"adding": ("write", "written") if prefer == "store" else ("import", "staged")}
    assert text_in(path) == (live if prefer == "store" else filed)
    assert store.get("adding").text == live
    assert store.versions("adding")[-1].text == (live if prefer == "store" else filed)
    assert sync() == {}


def test_two_that_meet_for_the_first_time(store, lay, sync):
    """A text that the store has as a version is behind, or waits; an unknown one is a conflict."""
    for name in ("behind", "ahead", "unknown", "same"):
        store.add_text(skill_text(name, body=f"{name} 1"))
    behind = lay(store.get("behind").text)
    promote(store, "behind", "behind 2")
    store.revise_text("ahead", skill_text("ahead", body="ahead 2"))
    lay(store.get("ahead@2").text)
    lay(skill_text("unknown", body="else"))
    lay(store.get("same").text)

    assert sync() == {"behind": ("write", "written"), "unknown": ("conflict", "")}
    assert text_in(behind) == store.get("behind").text


def test_a_file_that_was_deleted_is_named_and_with_delete_its_skill_retires(store, lay, sync):
    path = lay(skill_text())
    sync()
    path.unlink()
    for _ in range(2):
        assert sync() == {"adding": ("deleted", "")}
    assert store.get("adding").status == "live"

    assert sync(delete=True) == {"adding": ("retire", "retired")}
    assert store.get("adding").status == "retired"
    assert "deleted from" in store.history("adding")[-1].reason
    assert sync() == {}
    store.restore("adding")
    assert sync() == {"adding": ("write", "written")}


def test_a_skill_that_retired_is_named_and_with_delete_its_files_go(store, folder, lay, sync):
    alone, beside = lay(skill_text("alone", body="A.")), lay(skill_text("beside", body="B."))
    beside.with_name("notes.md").write_text("of the skill")
    beside.with_name("Thumbs.db").write_text("of nobody")
    sync()
    for name in ("alone", "beside"):
        store.retire(name)
    assert sync() == {"alone": ("deleted", ""), "beside": ("deleted", "")}
    assert alone.exists()

    assert sync(delete=True) == {"alone": ("remove", "removed"), "beside": ("remove", "removed")}
    assert sorted(path.name for path in folder.rglob("*")) == [STATE_FILE, "Thumbs.db", "beside"]
    assert sync() == {}


def test_a_deletion_against_a_change_is_a_conflict(store, lay, sync):
    gone, changed = lay(skill_text("gone", body="G.")), lay(skill_text("changed", body="C."))
    sync()
    gone.unlink()
    promote(store, "gone", "New.")
    store.retire("changed")
    lay(skill_text("changed", body="Newer."))

    assert sync(delete=True) == {"gone": ("conflict", ""), "changed": ("conflict", "")}
    assert sync(prefer="files") == {"gone": ("deleted", ""), "changed": ("import", "staged")}
    assert sync(prefer="store") == {"gone": ("write", "written")}
    assert gone.exists()
    assert changed.exists()


def test_a_retired_skill_whose_file_was_never_synced_is_left_alone(store, lay, sync):
    store.add_text(skill_text())
    store.retire("adding")
    path = lay(skill_text(body="Else."))

    assert sync(delete=True) == {"adding": ("skipped", "")}
    assert path.exists()
    assert len(store.versions("adding")) == 1


def test_a_dry_run_says_the_same_and_does_nothing(store, folder, lay, sync):
    lay(skill_text("filed", body="F."))
    store.add_text(skill_text("kept", body="K."))

    assert sync(dry_run=True) == {"filed": ("import", ""), "kept": ("write", "")}
    assert [path.name for path in folder.iterdir()] == ["filed"]
    assert [skill.name for skill in store.list()] == ["kept"]


def test_each_store_has_its_own_memory_of_a_folder(open_store, folder, lay, store, sync, tmp_path):
    lay(skill_text())
    sync()
    other = open_store(tmp_path / "other")
    store.retire("adding")

    assert [step.action for step in sync_skills(other, folder, delete=True).steps] == ["import"]
    assert sync(delete=True) == {"adding": ("remove", "removed")}
    assert [step.action for step in sync_skills(other, folder).steps] == ["deleted"]
    tenant = open_store(namespace="tenant")
    assert sync_skills(tenant, folder).steps == []


def test_line_ends_that_git_changed_are_not_a_change(store, lay, sync):
    path = lay(skill_text())
    sync()
    path.write_bytes(skill_text().replace("\n", "\r\n").encode())

    assert sync() == {}


def test_what_only_people_may_start_and_twins_are_taken_once(store, folder, lay, sync):
    lay(skill_text("for-people", body="P.").replace("---\n\n", "disable-model-invocation: true\n---\n\n"))
    lay(skill_text("one"))
    lay(skill_text("twin"))

    assert sync() == {
        "for-people": ("import", "staged, for people only"),
        "one": ("import", "live"),
        "twin": ("import", "already there"),
    }
    assert sync() == {}


def test_copies_for_several_agents_are_written_together_and_asked_about_when_they_differ(store, lay, sync):
    copies = [lay(skill_text(), f"{agent}/skills/adding") for agent in (".claude", ".cursor")]
    sync()
    text = promote(store, "adding", "Better.")

    assert sync() == {"adding": ("write", "written")}
    assert [text_in(path) for path in copies] == [text, text]
    copies[0].write_text(skill_text(body="Only here."))
    assert sync(delete=True, prefer="store") == {"adding": ("skipped", "")}
    assert text_in(copies[1]) == text


def test_foreign_names_are_refused_or_adapted(store, folder, lay, sync):
    lay(skill_text("acme::parts"), "parts")
    report = sync_skills(store, folder)

    assert (report.steps, len(report.refused)) == ([], 1)
    assert sync(names="adapt") == {"acme-parts": ("import", "live")}
    assert sync(names="adapt") == {}


def test_a_skill_whose_file_broke_is_not_taken_for_deleted(store, lay, sync):
    path = lay(skill_text())
    sync()
    path.write_text("broken")

    assert sync(delete=True) == {"adding": ("skipped", "")}
    promote(store, "adding", "Better.")
    assert sync(delete=True, prefer="store") == {"adding": ("skipped", "")}
    assert (store.get("adding").status, path.read_text()) == ("live", "broken")


def test_a_skill_that_moved_or_was_renamed_is_found(store, folder, lay, sync):
    path = lay(skill_text())
    sync()
    path.parent.rename(folder / "elsewhere")
    assert sync() == {}
    lay(skill_text("summing", body="Else."), "elsewhere")

    assert sync() == {"adding": ("deleted", ""), "summing": ("import", "live")}


def test_the_state_is_small_and_sorted(store, folder, lay, sync):
    lay(skill_text())
    sync()
    state = json.loads((folder / STATE_FILE).read_text())
    [skills] = state["stores"].values()

    assert state["format"] == "skill-plugin sync 1"
    assert list(skills["adding"]) == ["path", "file", "store", "version"]
    assert (skills["adding"]["path"], skills["adding"]["version"]) == ("adding/SKILL.md", 1)


@pytest.mark.parametrize("options", [{"prefer": "me"}, {"names": "guess"}])
def test_wrong_arguments_are_one_line(store, folder, options):
    with pytest.raises(ConfigurationError, match=r"is '(me|guess)'; use"):
        sync_skills(store, folder, **options)


def test_a_file_is_not_a_folder(store, tmp_path):
    (tmp_path / "x.zip").write_text("")

    with pytest.raises(InvalidSkillError, match="is not a folder; give the folder"):
        sync_skills(store, tmp_path / "x.zip")
