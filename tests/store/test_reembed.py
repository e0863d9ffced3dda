"""Another embedding model: all vectors anew, resumable, and the old ones answer until the last new one is there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlmodel import select

from fakes import TopicEmbedder
from indexes import engine, fill
from skill_plugin.errors import EmbedderMismatchError
from skill_plugin.store.tables import EmbeddingRow, NamespaceRow

SKILLS = 150

REEMBED = """
import json, sys
sys.path.insert(0, sys.argv[2])
from fakes import TopicEmbedder
from skill_plugin.store import SkillStore
where = json.loads(sys.argv[1])
with SkillStore.open(**where, embedder=TopicEmbedder("two"), check_embedder=False) as store:
    store.wait_for_index()
    print(store.reembed())
"""


class Reversed(TopicEmbedder):
    """Another model of the same dimension: its vectors fit, and mean something else."""

    TOPICS = ("ship", "sort", "refund", "add")


@pytest.fixture
def filled(open_store):
    """More skills than one batch, of one model, in use by a process that has the index."""
    store = open_store(embedder=TopicEmbedder("one"))
    fill(store, "add", "refund", *(f"sort-{number}" for number in range(SKILLS - 2)))
    return store


def reembed(where, crash_at):
    given = {"location": str(where.location), "chroma": where.chroma}
    command = [sys.executable, "-c", REEMBED, json.dumps(given), str(Path(__file__).parents[1])]
    return subprocess.run(
        command, env={**os.environ, "SKILL_PLUGIN_CRASH_AT": crash_at}, capture_output=True, text=True
    )


def embedded(store, signature):
    with store.database.read() as session:
        return len(session.exec(select(EmbeddingRow.number).where(EmbeddingRow.signature == signature)).all())


@pytest.mark.both_backends
@pytest.mark.parametrize(
    ("crash_at", "done"), [("reembed.batch", 64), ("reembed.batch:2", 128), ("reembed.before-swap", 150)]
)
def test_killed_it_goes_on_where_it_was_and_the_old_model_answers(filled, open_store, backend, crash_at, done):
    killed = reembed(backend, crash_at)
    assert (killed.returncode, killed.stdout) == (-9, "")

    assert (embedded(filled, "two"), filled.search("refund")[0].name) == (done, "refund")
    new = open_store(embedder=Reversed("two"), check_embedder=False)
    with pytest.raises(EmbedderMismatchError):
        new.search("refund")
    assert new.reembed() == SKILLS - done
    with new.database.read() as session:
        assert session.get(NamespaceRow, "default").signature == "two"
    with pytest.raises(EmbedderMismatchError):
        filled.search("refund")


@pytest.mark.both_backends
def test_the_new_index_is_full_before_it_is_asked(open_store):
    old = open_store(embedder=TopicEmbedder("one"), chroma=None)
    fill(old, "add", "refund", "sort")
    assert old.wait_for_index()
    old.close()
    new = open_store(embedder=Reversed("two"), check_embedder=False, chroma=None)
    assert new.wait_for_index()
    assert new.reembed() == 3

    assert set(new._partition.index.ids(signature="two")) == {skill.id for skill in new.list()}
    assert new.wait_for_index()
    assert (new.search("refund")[0].name, engine(new)) == ("refund", "chroma")
    assert [check.name for check in new.check() if not check.ok] == []


def test_vectors_of_the_same_length_from_another_model_never_answer(filled, open_store):
    other = open_store(embedder=Reversed("other"), check_embedder=False)

    with pytest.raises(EmbedderMismatchError, match="skill-plugin reindex"):
        other.search("refund")
    with pytest.raises(EmbedderMismatchError):
        fill(other, "ship")
    assert len(filled.list()) == SKILLS
