"""A store as one file, and back."""

import pytest

import crash_oracle
from crash_driver import Driver
from fakes import TopicEmbedder, skill_text
from skill_plugin.errors import DuplicateSkillError, EmbedderMismatchError
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


def test_vectors_of_another_embedder_are_refused_rather_than_never_found(open_store, tmp_path):
    one, two = (open_store(tmp_path / name, embedder=TopicEmbedder(name)) for name in ("one", "two"))
    one.add_text(skill_text("adding"))
    two.add_text(skill_text("sorting"))
    dump(one.database, tmp_path / "store.jsonl.gz")
    before = crash_oracle.state(tmp_path / "two")

    with pytest.raises(EmbedderMismatchError, match="made with 'two', not with 'one'"):
        load(two.database, tmp_path / "store.jsonl.gz")
    assert crash_oracle.state(tmp_path / "two") == before


def test_a_name_that_is_taken_is_told_in_one_line(open_store, tmp_path):
    one, two = (open_store(tmp_path / name) for name in ("one", "two"))
    one.add_text(skill_text("sorting"))
    for store in (one, two):
        store.add_text(skill_text("adding"))
    dump(one.database, tmp_path / "store.jsonl.gz")

    with pytest.raises(DuplicateSkillError, match="another skill named 'adding'") as caught:
        load(two.database, tmp_path / "store.jsonl.gz")
    assert "\n" not in str(caught.value)
    assert [skill.name for skill in two.list()] == ["adding"]


def test_an_archive_that_could_not_be_finished_does_not_have_its_name(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_skills(tmp_path / "skills.zip", {"a": "whole", "b": "\ud800"})

    assert not (tmp_path / "skills.zip").exists()
    write_skills(tmp_path / "skills.zip", {"a": "whole"})
    assert [path.name for path in tmp_path.iterdir()] == ["skills.zip"]
