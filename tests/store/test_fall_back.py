"""A live version that does clearly worse than the one before it gives way to that: on evidence, at few looks."""

import multiprocessing

import pytest
from sqlalchemy import create_engine, text

from fakes import MACHINE, TopicEmbedder, skill_text
from skill_plugin import Revision, Rollout, Task
from skill_plugin.store import SkillStore, migrations
from skill_plugin.store.runs.runs import RunRollout
from skill_plugin.store.runs.utility import is_due

pytestmark = pytest.mark.both_backends


def use(store, rewards, tag):
    """Runs under what is live now; after how many uses of it another version was live, if that came to pass."""
    skill = store.get("adding")
    made = [Rollout(generation=0, answer="", skill=skill.ref, reward=one, passed=one >= 1) for one in rewards]
    store.runs.record_all(
        [RunRollout(f"{tag}-{number}", Task(f"{tag} {number}"), one) for number, one in enumerate(made)]
    )
    return None if store.get("adding").version == skill.version else totals(store)[skill.version - 1][0]


def totals(store):
    with store.database.read() as session:
        rows = session.connection().execute(text("SELECT uses, total_reward FROM skillp_skill_version ORDER BY number"))
        return [tuple(row) for row in rows]


def revised(store, body="Other."):
    return store.promote(store.revise("adding", body=body).ref)


def share(passed, of):
    """So many passes among so many runs, spread evenly."""
    return [float((number + 1) * passed // of > number * passed // of) for number in range(of)]


def test_a_version_that_is_clearly_worse_gives_way_to_its_parent_and_the_reason_has_the_numbers(store, skill):
    use(store, share(18, 20), "v1")
    revised(store)

    assert use(store, share(4, 20), "v2") == 20
    event = store.history("adding")[-1]
    assert (event.kind, event.by, event.version) == ("rolled back", "evidence", 1)
    assert event.reason == (
        "version 2 has a mean reward of 0.20 over 20 uses, version 1 had 0.90 over 20: -0.70 (99 % interval -0.93 to -0.34)"
    )
    assert store.search("add")[0].version == 1


@pytest.mark.parametrize(
    ("parent", "child", "after"),
    [
        ((18, 20), [1.0] * 19 + [0.0] * 21, 40),  # at 20 uses it was as good
        ((80, 100), share(33, 60), 40),  # 0.25 less: not sure at 20 uses, but at 40
        ((14, 20), share(36, 60), None),  # 0.10 less, and not sure
        ((18, 19), [0.0] * 60, None),  # too little is known of the parent
        ((160, 160), share(296, 320), None),  # sure, and less than 0.1
    ],
)
def test_it_is_looked_at_when_its_uses_have_doubled(store, skill, parent, child, after):
    use(store, share(*parent), "v1")
    revised(store)

    assert use(store, child, "v2") == after


def test_one_that_was_promoted_again_is_looked_at_at_its_next_doubling(store, skill):
    use(store, [1.0] * 20, "v1")
    again = revised(store)
    use(store, [0.0] * 20, "v2")
    store.promote(again.ref)

    assert use(store, [0.0] * 30, "v2 again") == 40


def test_a_retired_skill_does_not_come_back_by_falling_back(store, skill):
    use(store, [1.0] * 20, "v1")
    revised(store)
    store.retire("adding")

    assert use(store, [0.0] * 40, "v2") is None
    assert (store.get("adding").status, store.get("adding").version) == ("retired", 2)


@pytest.mark.parametrize(
    ("before", "after", "due"), [(0, 19, False), (19, 20, True), (20, 20, False), (20, 39, False), (39, 90, True)]
)
def test_uses_that_jump_over_a_look_are_looked_at(before, after, due):
    assert is_due(before, after) is due


def test_without_a_parent_it_is_the_version_that_was_live_before(store, skill):
    use(store, [1.0] * 20, "v1")
    store.revise("adding", body="Never live.")
    unseen = store.revise_text("adding", MACHINE, author="generator")
    with store.database.write() as session:
        session.connection().execute(text("UPDATE skillp_skill_version SET parent = NULL WHERE number = 3"))
    store.promote(unseen.ref)

    assert use(store, [0.0] * 20, "v3") == 20
    assert store.get("adding").version == 1
    store.promote("adding@3")
    assert store.rollback("adding").version == 1


def test_a_lineage_that_saw_no_skill_falls_back_to_what_its_family_had(store):
    def written(number):
        proposed = [Revision(completion="", text=skill_text(body=f"Way {number}."))]
        where = {"run_id": "r", "group_id": f"g{number}", "generation": 1, "parent": None}
        return store.runs.stage(Task(f"task {number}"), proposed, **where)[0].skill

    for number in (1, 2):
        store.promote(written(number).ref)
        use(store, [2.0 - number] * 20, f"v{number}")

    assert [version.parent for version in store.versions("adding")] == [None, None]
    assert store.get("adding").version == 1


def test_later_feedback_replaces_the_reward_that_it_corrects(store, skill):
    for run, reward in (("a", 1.0), ("b", None)):
        store.runs.record(Task(run), [Rollout(generation=0, answer="", skill=skill.ref, reward=reward)], run_id=run)
    assert totals(store) == [(1, 1.0)]

    for run, reward in (("a", 0.5), ("a", 0.25), ("b", 1.0), ("b", 0.5), ("b", 0.5)):
        store.record_outcome(run, reward)
    assert totals(store) == [(2, 0.75)]


def test_feedback_on_a_run_that_was_not_counted_adds_nothing_to_the_record(store, skill):
    later = store.revise("adding", body="Other.")
    store.runs.record(Task("a"), [Rollout(generation=0, answer="", skill=later.ref, reward=0.0)], run_id="a")
    store.promote(later.ref)
    store.record_outcome("a", 1.0)

    assert totals(store) == [(0, 0.0), (0, 0.0)]
    assert store.get("adding").utility == 1.0


def _use_many(where, ref, worker):
    with SkillStore.open(**where, embedder=TopicEmbedder()) as store:
        for number in range(30):
            rollout = Rollout(generation=0, answer="", skill=ref, reward=0.0)
            store.runs.record(Task(f"{worker} {number}"), [rollout], run_id=f"{worker}-{number}")


def test_two_processes_look_once_and_nothing_is_counted_after(store, backend, skill):
    use(store, [1.0] * 20, "v1")
    worse = revised(store)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_use_many, args=(backend.options(), worse.ref, worker)) for worker in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)

    assert [worker.exitcode for worker in workers] == [0, 0]
    assert totals(store) == [(20, 20.0), (20, 0.0)]
    assert [event.kind for event in store.history("adding")].count("rolled back") == 1


def test_a_store_of_the_release_before_keeps_its_counts(backend, open_store):
    url = backend.location
    if backend.is_sqlite:
        backend.location.mkdir()
        url = f"sqlite:///{backend.location / 'skills.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        migrations.upgrade(connection, "0005")
        for statement in OLD:
            connection.execute(text(statement))
    engine.dispose()
    store = open_store()

    assert totals(store) == [(3, 2.5), (0, 0.0)]
    store.runs.record(Task("new"), [Rollout(generation=0, answer="", skill="sk_1@1", reward=0.5)], run_id="new")
    assert totals(store) == [(4, 3.0), (0, 0.0)]


OLD = (
    "INSERT INTO skillp_namespace (name, epoch, index_key, created_at) VALUES ('default', 0, '', '2026-01-01')",
    """
    INSERT INTO skillp_skill (id, namespace, name, description, status, trust, pinned, live_version, utility, uses, wins,
        low_audits, audited_uses, created_at)
    VALUES ('sk_1', 'default', 'adding', 'How', 'live', 'reviewed', false, 1, 0.8, 3, 2, 0, 0, '2026-01-01')
    """,
    """
    INSERT INTO skillp_skill_version (skill_id, number, namespace, generation, description, text, sha256, author, uses, wins,
        created_at)
    VALUES ('sk_1', 1, 'default', 0, 'How', 'a text', 'x', 'human', 3, 2, '2026-01-01'),
        ('sk_1', 2, 'default', 0, 'How', 'b text', 'y', 'human', 0, 0, '2026-01-01')
    """,
    # One use by feedback alone, which passed; one graded; one passed; and one that was not credited.
    """
    INSERT INTO skillp_rollout (namespace, task_id, skill_id, version, arm, run_id, generation, k, answer, chosen, reward,
        passed, feedback, credited, created_at)
    VALUES ('default', 't', 'sk_1', 1, 'skill', 'a', 0, 0, '4', true, NULL, NULL, '', false, '2026-01-01'),
        ('default', 't', 'sk_1', 1, 'skill', 'b', 0, 0, '4', true, 0.5, false, '', true, '2026-01-01'),
        ('default', 't', 'sk_1', 1, 'skill', 'c', 0, 0, '4', true, 1.0, true, '', true, '2026-01-01'),
        ('default', 't', 'sk_1', 1, 'skill', 'd', 0, 0, '4', true, 0.75, false, '', false, '2026-01-01')
    """,
)
