import pytest

from adapters import adapter
from fakes import TopicEmbedder
from skill_plugin.store.doctor import Check

pytestmark = pytest.mark.both_backends


@pytest.fixture
def store(open_store):
    return open_store(chroma=None)


def fill(store):
    for name in ("add", "refund", "sort"):
        store.add(name=name, description=f"How to {name}", body="Do it.")


def broken(store):
    return [check.name for check in store.check() if not check.ok]


def test_a_new_and_a_filled_store_are_sound(store):
    assert broken(store) == []
    fill(store)
    checks = store.check()

    assert all(check.ok for check in checks)
    assert [check.name for check in checks] == [
        "database",
        "skills",
        "files",
        "scanner",
        "embedder",
        "vectors",
        "index",
        "items",
        "checkpoint",
    ]
    assert Check("skills", True, "3 live") in checks
    assert "3 of 3 canaries found" in checks[-3].detail


def test_another_embedder_is_named(open_store):
    fill(open_store(embedder=TopicEmbedder("one")))

    assert broken(open_store(embedder=TopicEmbedder("two"), check_embedder=False)) == ["embedder"]


def test_a_lost_vector_is_named(store):
    fill(store)
    with store.database.write() as session:
        session.connection().exec_driver_sql("DELETE FROM skillp_embedding WHERE number = 1")

    assert "vectors" in broken(store)


def test_an_index_that_finds_nothing_is_named_though_it_counts_right(store):
    fill(store)
    assert store.wait_for_index()
    first, *others = [skill.id for skill in store.list()]
    store._partition.index.delete([first], signature="topics")
    store._partition.index.upsert([("sk_ghost", 1, [1.0, 0.0, 0.0, 0.0])], signature="topics")

    assert len(store._partition.index.ids(signature="topics")) == 1 + len(others)
    assert broken(store) == ["index"]
    assert store.rebuild_index()
    assert broken(store) == []


def test_another_embedder_takes_over_after_all_is_embedded_anew(open_store):
    old = open_store(embedder=TopicEmbedder("one"))
    fill(old)
    old.revise("add", body="Better.")
    new = open_store(embedder=TopicEmbedder("two"), check_embedder=False)

    assert new.reembed() == 4
    assert new.reembed() == 0
    assert new.search("refund")[0].name == "refund"
    new.promote("add@2")
    assert new.search("add")[0].version == 2
    assert broken(new) == []
    assert old.reembed() == 0  # its vectors are still there, so going back costs nothing
    assert old.search("refund")[0].name == "refund"


def test_changed_files_of_the_live_checkpoint_are_named(store, tmp_path):
    one = store.checkpoints.register(adapter(tmp_path / "night"), base_model="org/base")
    store.checkpoints.promote(one.id, by="test", reason="it is better")
    assert broken(store) == []

    (tmp_path / "night" / "adapter_model.safetensors").unlink()

    assert broken(store) == ["checkpoint"]
