import pytest

from fakes import MACHINE, skill_text
from skill_plugin import Revision, Task
from skill_plugin.errors import StoreError

pytestmark = pytest.mark.both_backends

TASK = Task("What is 2 + 2?", reference="4")


def stage(store, *texts, group="g", parent=None, **more):
    proposed = [
        Revision(
            completion=text,
            text=text,
            prompt=({"role": "user", "content": "write"},),
            prompt_token_ids=(1, 2),
            completion_token_ids=(3,),
            logprobs=(-0.5,),
            sampling={"temperature": 1.0},
            model="writer",
            checkpoint="ckpt_1",
        )
        if text.startswith("---")
        else Revision(completion=text, error="no front matter")
        for text in texts
    ]
    return store.runs.stage(TASK, proposed, run_id="r", group_id=group, generation=1, parent=parent, **more), proposed


def test_a_first_skill_is_staged_with_everything_that_training_needs(store):
    [(revision, skill)], proposed = stage(store, MACHINE)

    assert [revision] == proposed
    assert (skill.name, skill.version, skill.status, skill.author, skill.generation, skill.parent) == (
        "adding", 1, "staged", "generator", 1, None,
    )  # fmt: skip
    assert store.versions("adding")[0].revision_id is not None
    assert store.search("add") == []


def test_a_revision_of_a_skill_is_its_next_version(store):
    parent = store.add_text(skill_text())
    [(_, skill)], _ = stage(store, MACHINE, parent=parent.ref)

    assert (skill.id, skill.version, skill.parent, skill.status) == (parent.id, 2, 1, "staged")
    assert store.get("adding") == parent


def test_a_malformed_text_is_kept_and_makes_no_version(store):
    parent = store.add_text(skill_text())
    staged, _ = stage(store, "nonsense", MACHINE, parent=parent.ref)

    assert [(revision.error, skill and skill.version) for revision, skill in staged] == [
        ("no front matter", None),
        (None, 2),
    ]
    assert store.runs.staged("g") == staged


def test_a_group_is_written_once(store):
    first, _ = stage(store, MACHINE)
    again, _ = stage(store, skill_text(body="Something else."))

    assert again == first
    assert len(store.versions("adding")) == 1


def test_a_group_is_written_in_parts_each_of_them_once(store):
    parts = [stage(store, MACHINE)[0], stage(store, skill_text(body="Count."), "nonsense", first=1)[0]]
    again, _ = stage(store, skill_text(body="Something else."), first=1)

    assert again == parts[1]
    assert store.runs.staged("g") == parts[0] + parts[1]
    with pytest.raises(StoreError, match="has 3 candidates and cannot go on from number 5"):
        stage(store, MACHINE, first=5)


def test_a_new_name_is_a_new_skill(store):
    parent = store.add_text(skill_text())
    [(_, new)], _ = stage(store, skill_text(name="shipping"), parent=parent.ref)

    assert (new.name, new.version, new.parent) == ("shipping", 1, None)


def test_the_same_text_again_is_the_version_that_is_there(store):
    parent = store.add_text(skill_text())
    [(_, first)], _ = stage(store, MACHINE, group="a", parent=parent.ref)
    [(_, second)], _ = stage(store, MACHINE, group="b", parent=parent.ref)

    assert first.ref == second.ref
    assert len(store.versions("adding")) == 2
