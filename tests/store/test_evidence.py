"""Evidence that somebody made up changes nothing: outcomes of one source, runs that a client claims, records in files."""

import random
from dataclasses import asdict, replace

import pytest

from fakes import MACHINE, skill_text
from skill_plugin import Rollout, Task
from skill_plugin.errors import InvalidTaskError
from skill_plugin.integrations import tools
from skill_plugin.records import CLAIMED
from skill_plugin.skills.record import with_record
from skill_plugin.store.dumps.dump import copy, dump, load
from skill_plugin.store.runs.runs import RunRollout

pytestmark = pytest.mark.both_backends


def use(store, rewards, tag="run"):
    skill = store.get("adding")
    used = [Rollout(generation=0, answer="", skill=skill.ref, reward=one, passed=one >= 1) for one in rewards]
    store.runs.record_all([RunRollout(f"{tag}-{n}", Task(f"{tag} {n}"), one) for n, one in enumerate(used)])


def numbers(store):
    skill = store.get("adding")
    return skill.utility, skill.uses, skill.wins


# One outcome a run and a source


def test_the_newest_outcome_of_a_source_counts_and_all_are_kept(store, skill):
    store.runs.record(Task("a"), [Rollout(generation=0, answer="", skill=skill.ref)], run_id="a")
    seen = []
    for reward in (1.0, 0.0, 0.5):
        assert store.record_outcome("a", reward, source="user")
        seen.append(numbers(store))

    assert seen == [(1.0, 1, 1), (0.0, 1, 0), (0.5, 1, 0)]
    with store.database.read() as session:
        kept = session.connection().exec_driver_sql("SELECT reward, source FROM skillp_outcome ORDER BY id").all()
    assert [tuple(row) for row in kept] == [(1.0, "user"), (0.0, "user"), (0.5, "user")]


@pytest.mark.parametrize("uses", [1, 10, 131])
@pytest.mark.parametrize("judged", [True, False])
def test_two_hundred_reports_on_one_run_weigh_as_much_as_one(store, open_store, tmp_path, skill, uses, judged):
    once = open_store(tmp_path / "once")
    once.add_text(skill_text())
    for one, reports in ((store, 200), (once, 1)):
        use(one, [1.0] * uses)
        used = Rollout(generation=0, answer="", skill=one.get("adding").ref, reward=1.0 if judged else None)
        one.runs.record(Task("a"), [used], run_id="a")
        for number in range(reports):
            assert one.record_outcome("a", 0.0, f"bad {number}")

    assert numbers(store) == (pytest.approx(numbers(once)[0]), *numbers(once)[1:])
    assert numbers(store)[0] > 0 if uses > 1 or judged else numbers(store)[0] == 0.5


def test_corrections_in_any_order_leave_the_mean_of_the_last(store, skill):
    draw, runs = random.Random(7), [f"run-{n}" for n in range(15)]
    for run in runs:
        store.runs.record(Task(run), [Rollout(generation=0, answer="", skill=skill.ref)], run_id=run)
    last = {}
    for number in range(100):
        run, reward = draw.choice(runs[: 1 + number // 4]), draw.choice([0.0, 0.25, 1.0])
        store.record_outcome(run, reward, f"{number}")
        last[run] = reward

    assert numbers(store)[0] == pytest.approx(sum(last.values()) / len(last))
    assert numbers(store)[1:] == (len(last), sum(reward == 1 for reward in last.values()))


def test_two_sources_are_two_rewards(store, skill):
    store.runs.record(Task("a"), [Rollout(generation=0, answer="", skill=skill.ref)], run_id="a")
    store.record_outcome("a", 1.0, source="user")
    store.record_feedback("a", key="correctness", score=0.0)
    store.record_feedback("a", key="correctness", score=0.5)

    assert numbers(store) == (0.75, 1, 0)


# Runs that a client made up


def claims(store, number, reward=0.0):
    return [
        tools.report_outcome(store, f"made up {n}", reward, skill="adding", task=f"add {n} and {n}")
        for n in range(number)
    ]


def test_two_hundred_made_up_reports_change_nothing_that_a_user_gets(store, skill):
    use(store, [1.0] * 20)
    store.promote(store.revise_text("adding", MACHINE).ref)
    use(store, [1.0] * 19, "second")
    before = (asdict(store.get("adding")), store.versions("adding"), store.lift("adding"), store.history("adding"))
    found = list(store.search("add 2 and 2", 3)), list(store.search("add 2 and 2", 3, strategy="query-embedding"))
    records = store.tasks.records()

    assert {report["counted"] for report in claims(store, 200)} == {False}
    assert before == (
        asdict(store.get("adding")),
        store.versions("adding"),
        store.lift("adding"),
        store.history("adding"),
    )
    assert found == (
        list(store.search("add 2 and 2", 3)),
        list(store.search("add 2 and 2", 3, strategy="query-embedding")),
    )
    assert store.tasks.records() == records
    assert {decision.action for decision in store.prune(include_human=True)} == {"keep"}


def test_where_they_are_believed_they_would_have_rolled_it_back(store, skill):
    use(store, [1.0] * 20)
    store.promote(store.revise_text("adding", MACHINE).ref)
    for n in range(25):
        tools.report_outcome(store, f"made up {n}", 0, skill="adding", task=f"add {n}", believed=True)

    assert store.history("adding")[-1].kind == "rolled back"


def test_a_made_up_success_does_not_bring_a_skill_to_tasks_like_it(store, skill):
    claims(store, 30, reward=1.0)

    assert store.get("adding").utility is None
    assert {row["task_id"] for row in store.histories.rows() if row["rewards"]} == set()
    with store.database.read() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM skillp_experience").scalar() == 0


def test_a_made_up_run_keeps_no_question_from_being_held_out_and_is_no_train_task(store, skill):
    tools.begin_run(store, "adding", "the question of the benchmark")
    store.tasks.claim_splits([Task("the question of the benchmark", split="heldout")])

    assert store.tasks.is_held_out(Task("the question of the benchmark", split="train"))
    assert store.tasks.list(split="train") == []
    tools.begin_run(store, "adding", "a task that was done", believed=True)
    with pytest.raises(InvalidTaskError, match="was trained on"):
        store.tasks.claim_splits([Task("a task that was done", split="heldout")])


def test_a_claim_stays_one_through_an_export(store, open_store, tmp_path, skill):
    claims(store, 1)
    store.histories.export_to(tmp_path / "h.jsonl")
    other = open_store(tmp_path / "other")
    other.histories.import_from(tmp_path / "h.jsonl")

    assert [one.purpose for one in other.runs.rollouts("made up 0")] == ["claim"]
    assert [row["family"] for row in other.histories.rows()] == [CLAIMED]


# Records in files


@pytest.mark.parametrize("signed", [True, False])
def test_a_record_that_this_store_did_not_write_is_left_aside(skill, open_store, tmp_path, signed):
    forged = replace(skill, id="sk_0123456789ab", version=7, utility=1.0, uses=1_000_000, wins=1_000_000)
    tmp_path.joinpath("adding").mkdir()
    tmp_path.joinpath("adding", "SKILL.md").write_text(with_record(forged, b"a key of their own" if signed else None))
    other = open_store(tmp_path / "other")
    report = other.import_skills(tmp_path / "adding")
    taken = other.get("adding")

    assert (report.added, report.unsigned) == (["adding"], ["adding"])
    assert (taken.text, taken.utility, taken.uses, taken.wins, taken.version) == (skill.text, None, 0, 0, 1)
    assert taken.id != forged.id


def test_its_own_record_is_believed_in_every_namespace_and_a_strangers_is_not(store, open_store, tmp_path, skill):
    use(store, [1.0, 0.5])
    store.export_skills(tmp_path / "out")
    tenant, stranger = open_store(namespace="tenant"), open_store(tmp_path / "stranger")
    ours, theirs = tenant.import_skills(tmp_path / "out"), stranger.import_skills(tmp_path / "out")

    assert (ours.unsigned, theirs.unsigned) == ([], ["adding"])
    assert (tenant.get("adding").utility, tenant.get("adding").uses) == (0.75, 2)
    assert (stranger.get("adding").utility, stranger.get("adding").uses) == (None, 0)
    again = stranger.import_skills(tmp_path / "out", fresh=True)
    assert (again.already_there, again.unsigned) == (["adding"], [])


def test_the_key_goes_along_with_a_move_and_is_in_no_dump(store, open_store, tmp_path, skill):
    use(store, [1.0])
    store.export_skills(tmp_path / "out")
    copy(store.database, open_store(tmp_path / "moved").database)
    assert "skillp_key" not in dump(store.database, tmp_path / "dump.gz")
    load(open_store(tmp_path / "loaded").database, tmp_path / "dump.gz")
    for where, uses in (("moved", 1), ("loaded", 0)):
        tenant = open_store(tmp_path / where, namespace="tenant")
        tenant.import_skills(tmp_path / "out")
        assert tenant.get("adding").uses == uses


def test_the_same_key_signs_after_an_erase(store, tmp_path, skill):
    use(store, [1.0])
    store.export_skills(tmp_path / "out")
    store.erase(confirm=store.namespace)
    store.import_skills(tmp_path / "out")

    assert store.get("adding").uses == 1
