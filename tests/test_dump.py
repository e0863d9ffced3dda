"""A store as one file, and back."""

import pytest

import crash_oracle
from crash_driver import Driver
from skill_plugin.skill_folders import write_skills
from skill_plugin.store.dump import dump, load


def filled(home):
    driver = Driver(home, seed=2425)
    for number in range(40):
        driver.step(number)
    return driver.store


def test_what_was_dumped_is_loaded_to_the_letter(open_store, tmp_path):
    store = filled(tmp_path / "one")
    written = dump(store.database, tmp_path / "store.jsonl.gz")
    store.close()
    read = load(open_store(tmp_path / "two").database, tmp_path / "store.jsonl.gz")

    assert read == written
    assert crash_oracle.state(tmp_path / "two") == crash_oracle.state(tmp_path / "one")
    times = "SELECT id, created_at FROM skillp_skill ORDER BY id"
    assert crash_oracle.rows(tmp_path / "two", times) == crash_oracle.rows(tmp_path / "one", times)


def test_loading_twice_is_loading_once(open_store, tmp_path):
    store = filled(tmp_path / "one")
    dump(store.database, tmp_path / "store.jsonl.gz")
    before = crash_oracle.state(tmp_path / "one")

    assert load(store.database, tmp_path / "store.jsonl.gz") == {}
    assert crash_oracle.state(tmp_path / "one") == before
    store.close()


def test_an_archive_that_could_not_be_finished_does_not_have_its_name(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_skills(tmp_path / "skills.zip", {"a": "whole", "b": "\ud800"})

    assert not (tmp_path / "skills.zip").exists()
    write_skills(tmp_path / "skills.zip", {"a": "whole"})
    assert [path.name for path in tmp_path.iterdir()] == ["skills.zip"]
