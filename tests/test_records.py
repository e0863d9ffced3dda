import pytest

from skill_plugin import Generation, Rollout, Task, Verdict
from skill_plugin.errors import InvalidTaskError, VerifierError
from skill_plugin.records import split_ref


def test_a_task_is_known_by_its_content():
    assert Task("2 + 2?", reference="4").id == Task("2 + 2?", reference="4").id
    assert Task("2 + 2?", reference="4").id != Task("2 + 2?", reference="5").id
    assert Task("2 + 2?", reference="4").content_hash == Task(" 2 + 2? ", family="sums").content_hash


def test_about_a_fifth_of_all_tasks_is_held_out_and_always_the_same_ones():
    splits = [Task(f"question {number}").split for number in range(1000)]

    assert 150 < splits.count("heldout") < 250
    assert splits == [Task(f"question {number}").split for number in range(1000)]
    assert Task("question 1", split="heldout").split == "heldout"


@pytest.mark.parametrize(
    "wrong", [{"input": ""}, {"input": 3}, {"input": "x", "family": " "}, {"input": "x", "split": "test"}]
)
def test_a_task_that_cannot_be_used_says_why(wrong):
    with pytest.raises(InvalidTaskError, match="task"):
        Task(**wrong)


@pytest.mark.parametrize("reference", [float("nan"), object(), {1, 2}])
def test_a_task_is_made_of_json(reference):
    with pytest.raises(InvalidTaskError, match="JSON"):
        Task("x", reference=reference)


def test_a_verdict_passes_at_full_reward_unless_told_otherwise():
    assert Verdict(1).passed is True
    assert Verdict(True) == Verdict(1.0)
    assert Verdict(0.9).passed is False
    assert Verdict(0.9, passed=True).passed is True


@pytest.mark.parametrize("reward", [float("nan"), float("inf"), -0.1, 1.1, None, "1"])
def test_a_reward_is_a_number_from_0_to_1(reward):
    with pytest.raises(VerifierError, match="from 0 to 1"):
        Verdict(reward)


def test_records_survive_json():
    task = Task("x", reference={"a": [1, None]}, verifier={"name": "exact_match", "params": {}}, split="heldout")
    rollout = Rollout(generation=1, answer="4", skill="sk_1@2", reward=0.5, passed=False, feedback="no")
    generation = Generation(number=1, text="t", skill="sk_1@2", rollouts=(rollout,))

    assert Task.from_json(task.to_json()) == task
    assert Rollout.from_json(rollout.to_json()) == rollout
    assert Generation.from_json(generation.to_json()) == generation


def test_a_reference_to_a_version_is_split_at_the_last_at():
    assert split_ref("sk_1@12") == ("sk_1", 12)
    assert split_ref("refunds") == ("refunds", None)
    assert split_ref("odd@name") == ("odd@name", None)
