"""Two tenants in one database: neither ever sees, finds, changes or exports what is the other's."""

import gzip
import random

import pytest

from fakes import skill_text
from skill_plugin import Rollout, Task
from skill_plugin.errors import NamespaceError, RunNotFoundError, SkillNotFoundError
from skill_plugin.store.dumps.dump import dump
from skill_plugin.store.search.strategies import STRATEGIES

pytestmark = pytest.mark.both_backends

TOPICS = ("add", "refund", "sort", "ship")


@pytest.fixture
def tenants(open_store):
    """Two libraries of near-identical skills that have served tasks of the same families under the same run ids."""
    stores = [open_store(namespace=name) for name in ("team_a", "team/a")]
    for which, store in enumerate(stores):
        for number in range(12):
            topic = TOPICS[number % 4]
            text = skill_text(f"{topic}-{number}", f"How to {topic}, rule {number}", f"Owned by tenant{which}.")
            skill = store.add_text(text)
            used = Rollout(generation=0, answer=f"secret{which}", skill=skill.ref, reward=1.0, passed=True)
            store.runs.record(Task(f"{topic} {number}", family=topic), [used], run_id=f"run-{number}")
    return stores


def test_no_search_of_any_strategy_returns_the_others(tenants):
    draw = random.Random(7)
    for which, store in enumerate(tenants):
        own = {skill.id for skill in store.list()}
        for _ in range(150):
            query = " ".join(draw.choices([*TOPICS, "rule", "3", "7"], k=draw.randint(1, 6)))
            strategy = draw.choice(list(STRATEGIES))
            hits = store.search(query, k=20, min_score=-1, strategy=strategy, family=draw.choice(TOPICS))
            assert {hit.skill_id for hit in hits} <= own
            assert all(f"tenant{which}" in hit.text for hit in hits)


def test_an_id_of_the_other_tenant_is_not_found(tenants):
    ours, theirs = tenants
    foreign = theirs.list()[0]
    attempts = [
        lambda: ours.get(foreign.id),
        lambda: ours.get(foreign.ref),
        lambda: ours.history(foreign.id),
        lambda: ours.versions(foreign.id),
        lambda: ours.lift(foreign.id),
        lambda: ours.promote(foreign.ref),
        lambda: ours.rollback(foreign.ref),
        lambda: ours.retire(foreign.id),
        lambda: ours.pin(foreign.id),
        lambda: ours.revise(foreign.id, body="mine now"),
        lambda: ours.export_skills("nowhere", [foreign.id]),
    ]
    for attempt in attempts:
        with pytest.raises(SkillNotFoundError):
            attempt()
    assert theirs.get(foreign.id) == foreign


def test_feedback_and_credit_stay_at_home(tenants):
    ours, theirs = tenants
    theirs.runs.record(Task("only theirs"), [Rollout(generation=0, answer="x")], run_id="theirs")
    foreign = theirs.get("add-0")
    before = theirs.get("add-0")
    used = Rollout(generation=0, answer="x", skill=foreign.ref, reward=0.0, passed=False)
    ours.runs.record(Task("a new one"), [used], run_id="crossed")

    assert theirs.get("add-0") == before
    with pytest.raises(RunNotFoundError):
        ours.record_outcome("theirs", 1.0)
    assert ours.runs.rollouts("theirs") == []


def test_pruning_and_queries_see_one_tenant(tenants):
    ours, theirs = tenants
    ours.prune(capacity=0, include_human=True)

    assert len(theirs.list("live")) == 12
    assert theirs.query(limit=1000).total == 12
    assert {skill.namespace for skill in ours.query()} == {"team_a"}


def test_the_export_of_one_tenant_holds_nothing_of_the_other(tenants, tmp_path):
    dump(tenants[0].database, tmp_path / "one.gz", namespace=tenants[0].namespace)
    content = gzip.decompress((tmp_path / "one.gz").read_bytes()).decode()

    assert "tenant0" in content
    assert "tenant1" not in content
    assert "team/a" not in content


def test_an_erased_tenant_leaves_nothing_behind(tenants, open_store, backend):
    gone, stays = tenants
    with pytest.raises(NamespaceError, match="'team/a'"):
        gone.erase(confirm="team/a")
    kept = stays.list()
    counts = gone.erase(confirm="team_a")

    assert counts["skillp_skill"] == counts["skillp_rollout"] == 12
    assert (gone.list(), stays.list()) == ([], kept)
    assert gone.erase(confirm="team_a") == {}
    if backend.is_sqlite:
        left = b"".join(path.read_bytes() for path in backend.location.iterdir() if path.is_file())
        assert b"tenant1" in left
        assert [word for word in (b"tenant0", b"secret0", b"team_a") if word in left] == []
    later = open_store(namespace="team_a")
    assert later.add_text(skill_text()).status == "live"
    assert [hit.name for hit in gone.search("add")] == ["adding"]  # though this store remembers the old ones
