"""What a run was made of, and files that are whole or not there."""

import json
import math
import shutil
import subprocess
import sys
import time
from importlib.metadata import version

import pytest

from skill_plugin import __version__
from skill_plugin.disk import check_disk, whole_folder
from skill_plugin.errors import ConfigurationError
from skill_plugin.training.files.manifest import manifest, read_json, same_run, write_json
from skill_plugin.training.settings import TrainSettings

DATA = {"train_sha256": "aa", "validation_sha256": "bb", "since": "2026-01-01", "until": "2026-01-02"}


def made(*, data=DATA, base_revision="sha256:1", parent_sha256=None, device="cpu", **settings):
    plan = {"settings": TrainSettings(**settings).to_json(), "base_model": "models/base", "parent": None}
    return manifest(plan, data=data, base_revision=base_revision, parent_sha256=parent_sha256, device=device)


def test_a_manifest_says_what_the_run_was_made_of():
    found = made(seed=7, targets=("q_proj",), device="NVIDIA H200")

    assert found["data"] == DATA
    assert found["seed"] == found["settings"]["seed"] == 7
    assert (found["base_model"], found["base_revision"]) == ("models/base", "sha256:1")
    assert (found["parent"], found["parent_sha256"], found["device"]) == (None, None, "NVIDIA H200")
    assert found["versions"] == {
        "python": ".".join(map(str, sys.version_info[:3])), "skill_plugin": __version__,
        **{name: version(name) for name in ("torch", "transformers", "peft", "accelerate")},
    }  # fmt: skip


def test_it_is_the_same_after_it_was_written_and_read(tmp_path):
    found = made(targets=("q_proj", "v_proj"))
    write_json(tmp_path / "new" / "manifest.json", found)

    assert read_json(tmp_path / "new" / "manifest.json") == found
    assert same_run(read_json(tmp_path / "new" / "manifest.json"), made(targets=("q_proj", "v_proj"))) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"data": DATA | {"train_sha256": "cc"}}, "data.train_sha256 is 'aa' and was 'cc'"),
        ({"data": DATA | {"more": 1}}, "data.more is None and was 1"),
        ({"base_revision": "sha256:2"}, "base_revision is 'sha256:1' and was 'sha256:2'"),
        ({"parent_sha256": "dd"}, "parent_sha256 is None and was 'dd'"),
        ({"learning_rate": 1e-2}, "settings.learning_rate is 0.0001 and was 0.01"),
        ({"max_steps": 5}, "settings.max_steps is None and was 5"),
    ],
)
def test_each_fact_that_decides_makes_another_run(change, line):
    assert same_run(made(), made(**change)) == [line]


def test_other_packages_make_another_run():
    other = made()
    other["versions"]["torch"] = "1.0"

    assert same_run(made(), other) == [f"versions.torch is {version('torch')!r} and was '1.0'"]


def test_budgets_and_places_may_change():
    other = made(max_minutes=5.0, snapshot_steps=1, device="cuda") | {"created": "once", "base_model": "elsewhere"}

    assert same_run(made(), other) == []


class TestJson:
    def test_no_number_is_no_json_and_the_old_file_stays(self, tmp_path):
        write_json(tmp_path / "a.json", {"a": 1})

        with pytest.raises(ValueError, match="JSON compliant"):
            write_json(tmp_path / "a.json", {"a": math.nan})
        assert read_json(tmp_path / "a.json") == {"a": 1}
        assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["a.json"]

    def test_what_cannot_be_read_is_one_line(self, tmp_path):
        with pytest.raises(ConfigurationError, match=r"there is no plan\.json in .*; give the folder of a run"):
            read_json(tmp_path / "plan.json")
        with pytest.raises(ConfigurationError, match=r"cannot be read: "):
            read_json(tmp_path)
        for content in (b"{", b"\xff\xff", b""):
            (tmp_path / "plan.json").write_bytes(content)
            with pytest.raises(ConfigurationError, match=r"is not JSON .*; it is damaged: start the run again"):
                read_json(tmp_path / "plan.json")

    def test_a_process_that_is_killed_at_any_time_leaves_a_whole_file_and_a_whole_folder(self, tmp_path):
        code = (
            "import sys; from itertools import count; from pathlib import Path\n"
            "from skill_plugin.disk import whole_folder\n"
            "from skill_plugin.training.files.manifest import write_json\n"
            "place = Path(sys.argv[1])\n"
            "for number in count():\n"
            "    write_json(place / 'a.json', {'numbers': [number] * 5000})\n"
            "    with whole_folder(place / f'folder-{number}') as folder:\n"
            "        for name in 'ab':\n"
            "            (folder / name).write_text(str(number) * 5000)\n"
        )
        for wait in (0.0, 0.01, 0.03, 0.07):
            place = tmp_path / str(wait)
            process = subprocess.Popen([sys.executable, "-c", code, place])
            while not (place / "folder-0").exists():
                time.sleep(0.01)
            time.sleep(wait)
            process.kill()
            process.wait()

            assert len(set(read_json(place / "a.json")["numbers"])) == 1
            for folder in place.glob("folder-*"):
                number = folder.name.removeprefix("folder-")
                assert {one.name: one.read_text() for one in folder.iterdir()} == dict.fromkeys("ab", number * 5000)


class TestFolder:
    def test_one_that_fails_leaves_the_old_one(self, tmp_path):
        def write(text, *, fail=False):
            with whole_folder(tmp_path / "adapter") as folder:
                (folder / text).write_text(text)
                if fail:
                    raise OSError(text)

        write("a")
        with pytest.raises(OSError, match="b"):
            write("b", fail=True)
        assert [one.name for one in (tmp_path / "adapter").iterdir()] == ["a"]
        write("c")
        assert [one.name for one in (tmp_path / "adapter").iterdir()] == ["c"]
        assert [one.name for one in tmp_path.glob(".*")] == []

    def test_what_a_killed_run_left_is_cleared_away(self, tmp_path):
        (tmp_path / ".adapter.tmp").mkdir()
        (tmp_path / ".adapter.tmp" / "half").write_text("h")

        with whole_folder(tmp_path / "adapter") as folder:
            (folder / "whole").write_text("w")
        assert [one.name for one in (tmp_path / "adapter").iterdir()] == ["whole"]


def test_a_disk_without_room_is_told_before_the_run(tmp_path):
    check_disk(tmp_path / "not" / "yet", 1000)

    with pytest.raises(
        ConfigurationError, match=r"the disk of '.*yet' has .* GB free and this needs 1000000\.00 GB; free"
    ):
        check_disk(tmp_path / "not" / "yet", 10**15)
    assert shutil.disk_usage(tmp_path).free < 10**15
    assert json.dumps([one.name for one in tmp_path.iterdir() if one.name == "not"]) == "[]"
