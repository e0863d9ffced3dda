"""A path is not a URL: what URLs give a meaning to stands for itself in a folder's name."""

import pytest

from fakes import TopicEmbedder
from skill_plugin.store import SkillStore
from skill_plugin.store.sql.location import places

NAMES = ["a%2Fb", "a?b", "a#b", "a b", "a%b", "\u00fc\u4e2d", "a&b=c", "a;b", "a+b"]


@pytest.mark.parametrize("name", NAMES)
def test_the_database_is_where_it_was_asked_for(tmp_path, name):
    folder = tmp_path / name
    with SkillStore.open(folder, embedder=TopicEmbedder(), chroma=False) as store:
        store.add(name="a", description="add", body="b")

    assert (folder / "skills.db").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {name}
    _, index = places(folder / "other.db")
    with SkillStore.open(folder / "other.db", embedder=TopicEmbedder(), chroma=False) as store:
        assert store.list() == []
    assert ((folder / "other.db").is_file(), index) == (True, folder / "other.db-chroma")


def test_two_folders_are_two_databases(tmp_path):
    for name in ("a?x", "a?y", "a"):
        with SkillStore.open(tmp_path / name, embedder=TopicEmbedder(), chroma=False) as store:
            assert store.list() == []
            store.add(name="a", description="add", body="b")
