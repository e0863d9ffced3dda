"""A damaged Chroma folder: never the host's end, never a search that silently finds nothing, always healed from SQL."""

import shutil
from pathlib import Path

import pytest

from indexes import engine
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.store import SkillStore

SKILLS = 1100  # Chroma writes its vectors out once it has a thousand

VERBS = ("add", "refund", "sort", "ship", "count")
NOUNS = ("orders", "parcels", "photos", "tickets", "letters", "meetings", "accounts")

DAMAGES = {
    "header cut in half": ("*/header.bin", lambda data: data[: len(data) // 2]),
    "header emptied": ("*/header.bin", lambda _: b""),
    "noise at the start of the vectors": ("*/data_level0.bin", lambda data: b"\xa5" * 4096 + data[4096:]),
    "vectors cut in half": ("*/data_level0.bin", lambda data: data[: len(data) // 2]),
    "links cut": ("*/link_lists.bin", lambda data: data[:8]),
    "lengths emptied": ("*/length.bin", lambda _: b""),
    "metadata lost": ("*/index_metadata.pickle", None),
    "noise in the metadata": ("*/index_metadata.pickle", lambda data: b"\x80\x04" + b"\xff" * len(data)),
    "database emptied": ("chroma.sqlite3", lambda _: b""),
    "database cut in half": ("chroma.sqlite3", lambda data: data[: len(data) // 2]),
    "noise in the database": ("chroma.sqlite3", lambda data: data[:4096] + b"\xff" * (len(data) - 4096)),
    "database lost": ("chroma.sqlite3", None),
    "noise in the first page": ("chroma.sqlite3", lambda data: b"\x00" * 100 + data[100:]),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A home whose index has been written to disk, closed."""
    home = tmp_path_factory.mktemp("sound") / "home"
    with SkillStore.open(home, embedder="hashing") as store:
        for number in range(SKILLS):
            description = f"How to {VERBS[number % 5]} the {number} {NOUNS[number % 7]} of office {number % 11}"
            store.add(name=f"skill-{number}", description=description, body="Do it.")
        assert store.wait_for_index()
    return home


@pytest.fixture
def damaged(sound, home, request):
    """A copy with one damage; the names of the files that it hit."""
    pattern, change = DAMAGES[request.param]
    shutil.copytree(sound, home)
    hit = sorted((home / "chroma").glob(pattern))
    for path in hit:
        if change is None:
            path.unlink()
        else:
            path.write_bytes(change(path.read_bytes()))
    return hit


def hits(store):
    return [hit.name for hit in store.search("refund the orders of office 7", k=5, strategy="dense")]


@pytest.mark.parametrize("damaged", DAMAGES, indirect=True)
def test_search_goes_on_and_the_index_is_built_again(damaged, open_store):
    right = hits(open_store(embedder="hashing"))
    store = open_store(embedder="hashing", chroma=None)

    assert hits(store) == right
    assert store.wait_for_index(60)
    assert (hits(store), engine(store)) == (right, "chroma")
    assert set(store._partition.index.ids(signature=HashingEmbedder().signature)) == {
        skill.id for skill in store.list()
    }
    assert [check.name for check in store.check() if not check.ok] == []


@pytest.mark.parametrize("damaged", ["database cut in half"], indirect=True)
def test_what_was_damaged_is_kept_aside_once(damaged, open_store, home):
    open_store(embedder="hashing", chroma=None).wait_for_index(60)

    assert len(list(home.glob("chroma.damaged-*"))) == 1


def test_the_table_hits_the_files_that_chroma_has(sound):
    """A release of Chroma that lays its folder out otherwise must not turn the table above into a list of nothing."""
    missed = [name for name, (pattern, _) in DAMAGES.items() if not list(Path(sound, "chroma").glob(pattern))]
    assert missed == []
