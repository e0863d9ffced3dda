import json

import pytest
import torch

from skill_plugin.training.files.snapshots import KEPT, Snapshots

PARTS = {"adapter": {"a.weight": torch.arange(6.0).reshape(2, 3)}, "optimizer": {}}


@pytest.fixture
def snapshots(tmp_path):
    return Snapshots(tmp_path / "snapshots")


def names(snapshots):
    return sorted(path.name for path in snapshots.folder.iterdir())


def test_the_newest_is_what_was_saved_last(snapshots):
    snapshots.save(1, PARTS, {"done": {"step": 1}})
    snapshots.save(20, {**PARTS, "adapter": {"a.weight": torch.ones(1)}}, {"done": {"step": 20}})

    newest = snapshots.newest()

    assert (newest.step, newest.state["done"]) == (20, {"step": 20})
    assert torch.equal(newest.parts["adapter"]["a.weight"], torch.ones(1))
    assert newest.parts["optimizer"] == {}


def test_a_folder_that_is_not_there_has_none(snapshots):
    assert snapshots.newest() is None


def test_old_ones_are_removed(snapshots):
    for step in range(5):
        snapshots.save(step, PARTS)

    assert names(snapshots) == [f"step-{step:08d}" for step in range(5 - KEPT, 5)]


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: cut(folder / "adapter.safetensors"),
        lambda folder: (folder / "optimizer.safetensors").unlink(),
        lambda folder: cut(folder / "state.json"),
        lambda folder: (folder / "state.json").write_text("[]"),
        lambda folder: (folder / "state.json").write_text(json.dumps({"step": 2})),
        lambda folder: (folder / "state.json").unlink(),
        lambda folder: (folder / "state.json").write_bytes(b"\xff"),
    ],
)
def test_what_does_not_verify_is_passed_over_and_said(damage, snapshots, caplog):
    snapshots.save(1, PARTS)
    damage(snapshots.save(2, PARTS))

    assert snapshots.newest().step == 1
    assert "the snapshot step-00000002 does not verify" in caplog.text


def test_one_that_was_being_written_is_not_there_and_is_no_hindrance(snapshots):
    snapshots.save(1, PARTS)
    (snapshots.folder / ".step-00000002.tmp").mkdir()
    (snapshots.folder / ".step-00000002.tmp" / "adapter.safetensors").write_bytes(b"half")

    assert snapshots.newest().step == 1
    snapshots.save(2, PARTS)
    assert snapshots.newest().step == 2


def test_the_same_state_is_the_same_bytes(tmp_path):
    places = [Snapshots(tmp_path / name).save(1, PARTS, {"a": 1}) for name in ("a", "b")]

    one, other = ({path.name: path.read_bytes() for path in place.iterdir()} for place in places)
    assert one == other
