"""Undoing all that a source wrote, and looking again at what is live."""

from datetime import UTC, datetime, timedelta

import pytest

from fakes import skill_text
from skill_plugin import Revision, Rollout, Task
from skill_plugin.errors import ConfigurationError, StoreError
from skill_plugin.integrations.tools import propose_skill
from skill_plugin.scanning.findings import Finding
from skill_plugin.skills.skill_files import FolderContent, SkillFile
from skill_plugin.store import SkillStore, rescan_skills, revert_source
from skill_plugin.store.dumps import dump
from skill_plugin.store.dumps.dump import load

both = pytest.mark.both_backends

LONG_AGO = "2020-01-01"


def generated(store, *bodies, name="adding", **given):
    """Stages what a generator wrote, and returns the references."""
    parent = store.get(name).ref if name in {skill.name for skill in store.list()} else None
    revisions = [Revision(completion="", text=skill_text(name, body=body), **given) for body in bodies]
    staged = store.runs.stage(
        Task(f"add {bodies}"), revisions, run_id="run-1", group_id=f"{name}{bodies}", generation=1, parent=parent
    )
    return [one.skill.ref for one in staged]


def statuses(store, name="adding"):
    return [version.status for version in store.versions(name)]


@both
def test_what_a_checkpoint_wrote_gives_way_to_what_was_live_before(store, skill):
    first, second = generated(store, "Two.", "Three.", checkpoint="bad-one")
    store.promote(first)
    store.promote(second)
    [new, _] = generated(store, "New.", "Newer.", name="subtracting", checkpoint="bad-one")
    store.promote(new)
    generated(store, "Only staged.", name="resting", checkpoint="bad-one")
    store.revise("adding", body="By hand.")
    kept = generated(store, "Five.", checkpoint="good-one")
    before = [store.history(one.name) for one in store.list()]

    planned = revert_source(store, "bad-one", since=LONG_AGO, dry_run=True)
    assert [store.history(one.name) for one in store.list()] == before
    done = revert_source(store, "bad-one", since=LONG_AGO)

    assert done == planned
    assert [(one.name, one.action, one.versions, one.live) for one in done.skills] == [
        ("adding", "went back", [2, 3], 1),
        ("resting", "held", [1], None),
        ("subtracting", "retired", [1, 2], None),
    ]
    assert statuses(store) == ["live", "quarantined", "quarantined", "staged", "staged"]
    assert (store.get("resting").status, store.get("subtracting").status) == ("quarantined", "retired")
    assert [hit.ref for hit in store.search("add")] == [skill.ref]
    kinds = [(event.kind, event.version, event.by) for event in store.history("adding")]
    assert kinds[-3:] == [("held", 2, "human"), ("held", 3, "human"), ("rolled back", 1, "human")]
    assert store.get(second).held.startswith("taken back: written by bad-one since 2020-01-01")
    assert store.get(kept[0]).held == ""


def test_what_was_taken_back_comes_live_only_by_a_person_who_names_it(store, skill):
    [ref] = generated(store, "Two.", model="m")
    store.promote(ref)
    revert_source(store, "m", since=LONG_AGO)

    with pytest.raises(StoreError, match=r"version 2 of 'adding' is held: taken back: written by m"):
        store.promote(ref, by="gate")
    with pytest.raises(StoreError, match="held"):
        store.search("add", instead=ref)
    assert store.promote("adding").version == 1
    assert store.promote(ref, reason="looked at").tier == "vetted"


def test_a_retired_skill_does_not_bring_back_what_was_taken_from_it(store):
    [ref] = generated(store, "One.", model="m")
    store.promote(ref)
    revert_source(store, "m", since=LONG_AGO)

    assert store.restore("adding").status == "quarantined"
    assert store.search("add") == []
    [ref] = generated(store, "Two.", name="sums", model="m")
    store.promote(ref)
    store.retire("sums")
    [done] = revert_source(store, "m", since=LONG_AGO).skills[1:]
    assert (done.name, done.action, store.get("sums").status) == ("sums", "held", "retired")
    store.restore("sums")
    assert store.search("add") == []


def test_sources_by_their_kind_of_name(store, open_store, tmp_path):
    texts = (SkillFile(f"bad/{name}/SKILL.md", "", skill_text(name, body=name)) for name in ("one", "two"))
    store.import_skills(FolderContent(tuple(texts)))
    store.import_skills(FolderContent((SkillFile("good/SKILL.md", "", skill_text("three", body="three")),)))
    propose_skill(store, skill_text("four"))
    generated(store, "Five.", name="five", model="some-model")
    other = open_store(tmp_path / "other")
    other.add_text(skill_text("six", body="six"))
    dump.dump(other.database, tmp_path / "theirs.gz")
    load(store.database, tmp_path / "theirs.gz")

    def names(source):
        return [one.name for one in revert_source(store, source, since=LONG_AGO, dry_run=True).skills]

    assert names("bad/") == ["one", "two"]
    assert names("import") == ["one", "three", "two"]
    assert names("proposed") == ["four"]
    assert names("generator") == ["five", "four"]
    assert names("some-model") == names("run-1") == ["five"]
    assert names("dump") == names(str(tmp_path / "theirs.gz")) == ["six"]
    with pytest.raises(
        ConfigurationError, match=r"nothing was written by 'nobody' since 2020-01-01 00:00; those who wrote are:"
    ):
        names("nobody")
    with pytest.raises(ConfigurationError, match="since is 'yesterday'"):
        revert_source(store, "import", since="yesterday")


def test_only_what_was_written_since_then_and_outcomes_are_counted(store, skill):
    run = [Rollout(generation=0, answer="", skill=skill.ref, reward=None)]
    store.runs.record(Task("t"), run, run_id="r")
    store.record_outcome("r", 1.0, source="ticket system")

    assert revert_source(store, "ticket system", since=LONG_AGO).outcomes == 1
    with pytest.raises(ConfigurationError, match="nobody wrote a skill in that time"):
        revert_source(store, "human", since=datetime.now(UTC) + timedelta(hours=1))
    [done] = revert_source(store, "human", since=datetime.now(UTC) - timedelta(hours=1)).skills
    assert (done.action, store.get("adding").status) == ("retired", "retired")


def shouting(text):
    return [Finding("other", "CAPITALS", "hold", "capitals")] if "SHOUT" in text else []


def test_a_rescan_takes_the_tier_of_a_live_text_until_a_person_says_that_it_is_sound(open_store):
    store = open_store(scanners=[])
    for name, body in (("loud", "SHOUT."), ("quiet", "Whisper.")):
        store.promote(store.add_text(skill_text(name, body=body)).name, reason="read")
    stricter = open_store(scanners=[shouting])

    assert rescan_skills(stricter, dry_run=True).suspects[0].tier == store.get("loud").tier == "vetted"
    [check] = [one for one in stricter.check() if one.name == "scanner"]
    assert not check.ok
    assert check.detail.startswith(
        "2 of 2 texts scanned again; found something in loud@1: other (capitals): 'CAPITALS'; take"
    )
    assert store.get("loud").tier == "vetted"  # who only looks changes nothing
    stricter.check(fix=True)
    rescan_skills(stricter)

    assert (store.get("loud").tier, store.get("loud").status, store.get("quiet").tier) == ("unvetted", "live", "vetted")
    demoted = store.history("loud")[-1]
    assert (demoted.kind, demoted.by, demoted.evidence["tier"]) == ("demoted", "scanner", "vetted")
    assert [event.kind for event in store.history("loud")].count("demoted") == 1
    assert stricter.revise("loud", body="SHOUT. More.").status == "quarantined"
    stricter.promote("loud@1", reason="it is meant")
    assert rescan_skills(stricter).suspects == []
    assert stricter.get("loud").tier == "vetted"
    assert (
        stricter.revise("loud", body="SHOUT. Still more.").status == "staged"
    )  # it adds nothing to a text that is sound


def test_a_rescan_reads_what_a_released_text_became_by_what_was_added(open_store):
    store = open_store(scanners=[shouting])
    store.add_text(skill_text(body="SHOUT."))
    store.promote("adding@1", reason="it is meant")
    store.promote(store.revise("adding", body="SHOUT. And more.").ref)

    assert store.get("adding").version == 2
    assert rescan_skills(store) == (2, 2, [])


def test_the_command_line_reverts_certifies_and_scans_again(cli, home, hashing):
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        for name in ("one", "two"):
            store.add(name=name, description=f"How to {name}", body=f"Do {name}.")
    assert "certified one version 1" in cli("skills", "certify", "one", "--reason", "audited")
    assert "2 texts scanned, 0 with a finding" in cli("skills", "rescan", "--dry-run")
    assert "vetted" in cli("skills", "promote", "two@1", "--reason", "read")
    assert "1 vetted, 1 certified" in cli("status")
    assert "two" not in cli("skills", "list", "--min-tier", "certified")
    assert cli("skills", "revert", "--source", "human", "--since", LONG_AGO).splitlines() == [
        "one: retired (written by human: version 1)",
        "two: retired (written by human: version 1)",
        "2 skills reverted",
    ]
    assert "held: taken back: written by human" in cli("skills", "show", "one")
