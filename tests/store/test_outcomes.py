import multiprocessing

import pytest

from fakes import MACHINE, TopicEmbedder, skill_text
from skill_plugin import Revision, Rollout, Task
from skill_plugin.errors import RunNotFoundError, VerifierError
from skill_plugin.store import SkillStore

pytestmark = pytest.mark.both_backends

TASK = Task("What is 2 + 2?", reference="4")


def rollout(skill, reward, *, generation=0, **more):
    passed = None if reward is None else reward >= 1
    return Rollout(generation=generation, answer="4", skill=skill.ref, reward=reward, passed=passed, **more)


def numbers(store):
    skill = store.get("adding")
    return skill.utility, skill.uses, skill.wins


def test_utility_begins_as_a_mean_and_moves_by_a_twentieth_from_the_twentieth_use_on(store, skill):
    rewards = [1.0, 0.0, 0.5, *[1.0] * 8, *[0.25] * 8]
    for number, reward in enumerate(rewards, 1):
        store.runs.record(TASK, [rollout(skill, reward)], run_id=str(number))
        assert numbers(store)[:2] == (pytest.approx(sum(rewards[:number]) / number), number)
    expected = sum(rewards) / 19
    for number in range(20, 24):
        store.runs.record(TASK, [rollout(skill, 1.0)], run_id=str(number))
        expected += 0.05 * (1 - expected)
        assert numbers(store) == (pytest.approx(expected), number, number - 10)


def test_a_first_reward_of_0_begins_at_0(store, skill):
    store.runs.record(TASK, [rollout(skill, 0.0)], run_id="a")

    assert numbers(store) == (0.0, 1, 0)


def test_recording_a_run_twice_is_recording_it_once(store, skill):
    rollouts = [rollout(skill, 0.0), rollout(skill, 1.0, generation=1)]

    assert store.runs.record(TASK, rollouts, run_id="a", chosen=rollouts[1]) == 2
    assert store.runs.record(TASK, rollouts, run_id="a", chosen=rollouts[1]) == 0
    assert numbers(store)[1] == 2
    assert store.runs.rollouts("a") == rollouts


@pytest.mark.parametrize(
    "changes",
    [
        {"reward": None, "passed": None},
        {"reward": None, "passed": None, "error": "the verifier hung"},
        {"arm": "control", "skill": None},
        {"skill": None},
    ],
)
def test_without_a_reward_under_the_skill_nothing_is_credited(store, skill, changes):
    values = {**rollout(skill, 1.0).to_json(), **changes}
    store.runs.record(TASK, [Rollout(**values)], run_id="a")

    assert numbers(store) == (None, 0, 0)
    assert store.runs.rollouts("a") == [Rollout(**values)]


def test_only_the_live_version_moves_the_skills_utility(store, skill):
    staged = store.revise("adding", body="Use a machine.")
    store.runs.record(TASK, [rollout(staged, 1.0)], run_id="a")

    assert numbers(store) == (None, 0, 0)


def stage(store, parent, task=TASK, group="g", text=MACHINE, **more):
    revision = Revision(completion=text, text=text)
    return store.runs.stage(task, [revision], run_id="r", group_id=group, generation=1, parent=parent, **more)[-1].skill


def test_a_skill_is_never_credited_on_the_task_it_was_born_from(store, skill):
    born = stage(store, skill.ref)
    store.promote(born.ref)
    same_question = Task(TASK.input, reference="other", family="elsewhere")
    for number, task in enumerate((TASK, same_question, Task("What is 3 + 3?"))):
        store.runs.record(task, [rollout(born, 1.0)], run_id=str(number))

    assert numbers(store) == (1.0, 1, 1)


def test_nor_on_a_further_task_whose_failures_its_prompt_showed(store, skill):
    shown = [Task("What is 5 + 5?"), Task("What is 6 + 6?")]
    born = stage(store, skill.ref, also=shown)
    later = stage(store, skill.ref, text=skill_text(body="Count twice."), also=shown, first=1)
    store.promote(later.ref)
    for number, task in enumerate([*shown, Task(shown[0].input, family="elsewhere"), Task("What is 3 + 3?")]):
        store.runs.record(task, [rollout(later, 1.0)], run_id=str(number))

    assert later.ref != born.ref
    assert numbers(store) == (1.0, 1, 1)


def test_the_version_before_is_credited_for_failing_there(store, skill):
    stage(store, skill.ref)
    store.runs.record(TASK, [rollout(skill, 0.0)], run_id="r")

    assert numbers(store) == (0.0, 1, 0)


def test_later_feedback_gives_the_reward_that_the_run_lacked(store, skill):
    store.runs.record(TASK, [rollout(skill, None)], run_id="a")

    assert store.record_outcome("a", 1.0, "thanks") is True
    assert numbers(store) == (1.0, 1, 1)


def test_the_same_feedback_counts_once(store, skill):
    store.runs.record(TASK, [rollout(skill, None)], run_id="a")

    assert [store.record_outcome("a", 1, "thanks") for _ in range(3)] == [True, False, False]
    assert numbers(store) == (1.0, 1, 1)


def test_feedback_on_a_verified_run_moves_utility_but_is_no_new_use(store, skill):
    store.runs.record(TASK, [rollout(skill, 1.0)], run_id="a")
    store.record_outcome("a", 0.0, "wrong after all")

    assert numbers(store) == (0.5, 1, 1)


def test_feedback_goes_to_the_skill_that_gave_the_answer(store, skill):
    other = store.add(name="other", description="How to sort", body="Do it.")
    rollouts = [rollout(skill, None), rollout(other, None, generation=1)]
    store.runs.record(TASK, rollouts, run_id="a", chosen=rollouts[0])
    store.record_outcome("a", 1.0)

    assert (store.get("adding").uses, store.get("other").uses) == (1, 0)


def test_feedback_for_an_unknown_run_is_an_error(store, open_store, skill):
    store.runs.record(TASK, [rollout(skill, None)], run_id="a")

    with pytest.raises(RunNotFoundError, match="no run 'b'"):
        store.record_outcome("b", 1.0)
    with pytest.raises(RunNotFoundError, match="namespace 'other'"):
        open_store(namespace="other").record_outcome("a", 1.0)


@pytest.mark.parametrize("reward", [float("nan"), 2, None])
def test_feedback_without_a_reward_changes_nothing(store, skill, reward):
    store.runs.record(TASK, [rollout(skill, None)], run_id="a")

    with pytest.raises(VerifierError):
        store.record_outcome("a", reward)
    assert numbers(store) == (None, 0, 0)


@pytest.mark.parametrize(
    ("feedback", "reward", "text"),
    [
        ({"key": "correctness", "score": 1, "comment": "as in the book"}, 1.0, "correctness: as in the book"),
        ({"key": "user_score", "score": True}, 1.0, "user_score"),
        ({"key": "thumbs", "score": 0.0, "value": "down", "comment": "too slow"}, 0.0, "thumbs: down: too slow"),
    ],
)
def test_feedback_in_langsmiths_form_is_an_outcome_and_the_same_twice_counts_once(store, skill, feedback, reward, text):
    store.runs.record(TASK, [rollout(skill, None)], run_id="a")

    assert store.record_feedback("a", **feedback)
    assert not store.record_feedback("a", **feedback)
    assert not store.record_outcome("a", reward, text)
    assert numbers(store) == (reward, 1, int(reward))


@pytest.mark.parametrize(
    ("feedback", "message"),
    [
        ({"key": "stars", "score": 5}, "from 0 to 1, got 5; scale it"),
        ({"key": "note", "score": None, "comment": "hm"}, "'note' has no score"),
    ],
)
def test_feedback_that_is_no_score_changes_nothing(store, skill, feedback, message):
    store.runs.record(TASK, [rollout(skill, None)], run_id="a")

    with pytest.raises(VerifierError, match=message):
        store.record_feedback("a", **feedback)
    assert numbers(store) == (None, 0, 0)


def _record_many(where, ref, worker, count):
    with SkillStore.open(**where, embedder=TopicEmbedder()) as store:
        for number in range(count):
            used = Rollout(generation=0, answer="", skill=ref, reward=1.0, passed=True)
            store.runs.record(Task(f"{worker} {number}"), [used], run_id=f"{worker}-{number}")


def test_processes_that_record_at_once_lose_nothing(store, backend, skill):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_record_many, args=(backend.options(), skill.ref, worker, 100)) for worker in range(3)
    ]
    store.runs.record(TASK, [rollout(skill, 0.0)], run_id="first")
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert numbers(store) == (pytest.approx(1 - 0.05 * 0.95**281), 301, 300)
