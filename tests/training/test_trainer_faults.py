"""What is wrong with a run, and what becomes of it."""

import logging
import math
import resource
import signal

import pytest
from safetensors.torch import load_file

from skill_plugin.errors import ConfigurationError, InvalidHistoryError
from skill_plugin.training.data.groups import Groups
from skill_plugin.training.files.manifest import read_json, write_json
from skill_plugin.training.files.metrics import read_metrics
from skill_plugin.training.job import alone, run
from skill_plugin.training.settings import LossSettings
from tiny_models import tiny_model
from training_runs import adapter_bytes, edit_groups, make_run, trained

NO_KL = {"loss": LossSettings(kl_weight=0)}
OVERFLOWS = 1e39
"""A number in JSON, and none in float32."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "base")


def edit(folder, change, part="train"):
    edit_groups(folder / "data" / part, change)
    return folder


def give(place, **values):
    """Sets something of all candidates of the group at a place."""

    def change(groups):
        for candidate in groups[place]["candidates"]:
            candidate.update(values)

    return change


def shift(*places, by=1.0):
    """Log-probs of another model."""

    def change(groups):
        for place in places:
            for candidate in groups[place]["candidates"]:
                candidate["logprobs"] = [value - by for value in candidate["logprobs"]]

    return change


def first_value(place, name, value):
    def change(groups):
        groups[place]["candidates"][0][name][0] = value

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (first_value(1, "logprobs", math.nan), "it holds values that are not numbers"),
        (first_value(1, "logprobs", -math.inf), "it holds values that are not numbers"),
        (give(1, pull=math.inf), "it holds values that are not numbers"),
        (give(1, push=math.nan), "it holds values that are not numbers"),
        (first_value(1, "rewards", math.inf), "it holds values that are not numbers"),
        (first_value(1, "completion_token_ids", 10**6), "token 1000000 is not one of the"),
        (first_value(1, "completion_token_ids", -1), "token -1 is not one of the"),
        (give(1, logprobs=[-1.0]), "it has another number of log-probs than of tokens"),
        (give(1, completion_token_ids=[], logprobs=[]), "a candidate of 0 tokens"),
        (lambda groups: groups[1].update(candidates=[]), "it has no candidates"),
        (lambda groups: groups[1].update(prompt_token_ids=[]), "a prompt or a candidate of 0 tokens"),
        (lambda groups: groups[1].update(temperature=0.0), "a temperature that is not above 0"),
        (lambda groups: groups[1].update(prompt_token_ids=[5] * 4096), "and the base model takes 4096"),
    ],
)
def test_a_group_that_cannot_be_computed_is_left_out_and_reported(change, why, base, tmp_path):
    folder = edit(make_run(tmp_path, base, groups=3, epochs=1, groups_per_step=3), change)
    edit(folder, lambda groups: groups[0].update(temperature=0.0), "validation")
    tokens = sum(one.completion_tokens for at, one in enumerate(Groups(folder / "data" / "train")) if at != 1)

    done = trained(folder)

    assert (done.outcome, done.step, done.skipped, done.tokens) == ("trained", 1, 0, tokens)
    assert list(done.refused_groups) == ["group-1"]
    assert why in done.refused_groups["group-1"]
    assert {one["group"] for one in read_json(folder / "validation-after.json")} == {"group-1"}


def test_without_a_group_that_can_be_computed_there_is_one_line(base, tmp_path):
    folder = edit(make_run(tmp_path, base, groups=1), give(0, push=math.nan))

    with pytest.raises(
        InvalidHistoryError, match="there is no group to learn from: it holds values that are not numbers"
    ):
        trained(folder)


def test_a_step_that_is_not_finite_is_skipped_counted_and_never_in_the_adapter(base, tmp_path):
    settings = {"groups_per_step": 1, "epochs": 1, "max_bad_steps": 2, "plan": NO_KL}
    folder = edit(make_run(tmp_path / "bad", base, **settings), give(1, pull=OVERFLOWS))

    done = trained(folder)

    assert (done.outcome, done.step, done.skipped, done.skipped_in_a_row) == ("trained", 4, 1, 0)
    assert all(
        tensor.isfinite().all() for tensor in load_file(folder / "adapter" / "adapter_model.safetensors").values()
    )
    assert [row["loss"] for row in read_metrics(folder / "metrics.jsonl")].count(None) == 1
    other = edit(make_run(tmp_path / "left-out", base, **settings), give(1, pull=math.nan))
    assert trained(other).step == 3


def test_a_last_step_that_is_skipped_still_makes_a_result(base, tmp_path):
    folder = make_run(tmp_path, base, groups=1, epochs=2, plan=NO_KL)

    def spoil(done):
        edit(folder, give(0, pull=OVERFLOWS))

    done = run(folder, on_step=spoil)

    assert (done.outcome, done.step, done.skipped) == ("trained", 2, 1)
    assert read_json(folder / "result.json") == done.to_json()


def test_steps_in_a_row_that_are_not_finite_end_a_run_that_makes_nothing(base, tmp_path):
    folder = make_run(tmp_path, base, epochs=4, groups_per_step=1, max_bad_steps=3)
    edit(folder, lambda groups: [give(place, push=-OVERFLOWS)(groups) for place in range(4)])

    done = run(folder)

    assert (done.outcome, done.step) == ("failed", 3)
    assert "3 steps in a row had no finite loss and gradient" in done.reason
    assert not (folder / "adapter").exists()
    assert run(folder) == done


def test_log_probs_of_another_model_are_found_before_the_first_step(base, tmp_path):
    folder = edit(make_run(tmp_path, base), shift(0, 1, 2, 3))

    with pytest.raises(
        ConfigurationError,
        match=r"of 4 of 4 sampled groups are not those of .* differ by 1\.000 nats .* and 0\.1 is allowed",
    ):
        trained(folder)
    assert not (folder / "snapshots").exists()


def test_one_group_with_log_probs_of_another_model_is_left_out_and_reported(base, tmp_path, caplog):
    folder = edit(make_run(tmp_path, base, epochs=1, groups_per_step=1), shift(2))

    with caplog.at_level(logging.WARNING):
        done = trained(folder)

    assert done.refused_groups == {"group-2": "log-probs of another model: 1.000 nats a token off"}
    assert (done.outcome, done.skipped, done.skipped_in_a_row) == ("trained", 1, 0)
    assert [one.getMessage() for one in caplog.records if "left out" in one.getMessage()] == [
        "the group group-2 is left out: log-probs of another model: 1.000 nats a token off"
    ]


@pytest.mark.parametrize(
    ("guard", "why"), [({"max_kl": 0.05}, "the KL to the base is"), ({"max_ratio": 1.05}, "the mean ratio is")]
)
def test_a_policy_that_goes_too_far_goes_back_to_the_last_snapshot(guard, why, base, tmp_path):
    folder = make_run(tmp_path, base, groups=2, epochs=20, learning_rate=1e-2, snapshot_steps=2, **guard)

    done = trained(folder)

    assert why in done.reason
    assert f"went back to step {done.step}" in done.reason
    assert (done.outcome, done.step % 2) == ("trained" if done.step else "failed", 0)
    if done.step:
        snapshot = load_file(folder / "snapshots" / f"step-{done.step:08d}" / "adapter.safetensors")
        saved = load_file(folder / "adapter" / "adapter_model.safetensors")
        assert sorted(float(one.double().sum()) for one in snapshot.values()) == sorted(
            float(one.double().sum()) for one in saved.values()
        )


def killed_after(folder, steps):
    def stop(done):
        if done.step == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(folder, on_step=stop)
    return folder


def test_a_snapshot_that_is_damaged_is_passed_over_for_the_one_before(base, tmp_path, caplog):
    whole = make_run(tmp_path / "whole", base)
    run(whole)
    folder = killed_after(make_run(tmp_path / "run", base), 3)
    newest = max((folder / "snapshots").iterdir())
    content = bytearray((newest / "optimizer.safetensors").read_bytes())
    content[-1] ^= 1
    (newest / "optimizer.safetensors").write_bytes(content)
    steps = []

    run(folder, on_step=lambda done: steps.append(done.step))

    assert steps == [2, 3, 4]
    assert f"the snapshot {newest.name} does not verify" in caplog.text
    assert adapter_bytes(folder) == adapter_bytes(whole)


def test_a_group_that_was_scored_and_not_yet_refused_is_refused_after_a_kill(base, tmp_path):
    """The scores of the base outlive a kill; that a group was refused is known to the snapshots alone."""
    folder = edit(make_run(tmp_path, base, epochs=1, groups_per_step=1, snapshot_steps=100), shift(2))

    killed_after(folder, 4)
    done = run(folder)

    assert list(done.refused_groups) == ["group-2"]
    assert done.skipped == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: edit(folder, shift(0, by=0.01)), "data.data/train is"),
        (lambda folder: replan(folder, "loss", clip_low=0.1), "settings.clip_low is 0.1 and was 0.2"),
        (lambda folder: replan(folder, "train", seed=1), "settings.seed is 1 and was 0"),
    ],
)
def test_a_run_goes_on_with_what_it_was_begun_with_alone(change, said, base, tmp_path):
    folder = killed_after(make_run(tmp_path, base), 1)
    change(folder)

    with pytest.raises(ConfigurationError, match=f"was begun otherwise: .*{said}.*; use a new folder") as found:
        run(folder)
    assert "\n" not in str(found.value)


def replan(folder, part, **values):
    plan = read_json(folder / "plan.json")
    plan[part].update(values)
    write_json(folder / "plan.json", plan)


def test_budgets_may_change_when_a_run_goes_on(base, tmp_path):
    folder = killed_after(make_run(tmp_path, base), 1)
    replan(folder, "train", max_minutes=60.0, snapshot_steps=3)

    assert run(folder).step == 4


def test_a_folder_takes_one_run_at_a_time(base, tmp_path, trainers):
    folder = make_run(tmp_path, base)

    with alone(folder):
        code, output = trainers.run(folder)

    assert (code, output.count("\n")) == (1, 1)
    assert output == f"error: another process trains in {str(folder)!r}; wait for its end\n"


def test_a_disk_that_is_too_small_is_one_line_before_anything_is_computed(base, tmp_path, monkeypatch):
    folder = make_run(tmp_path, base)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))

    with pytest.raises(ConfigurationError, match=r"has 0\.00 GB free and this needs"):
        run(folder)
    assert not (folder / "snapshots").exists()


def test_a_disk_that_is_full_in_the_middle_is_one_line_and_the_run_goes_on_later(base, tmp_path):
    whole = make_run(tmp_path / "whole", base)
    run(whole)
    folder = make_run(tmp_path / "run", base)
    was, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(ConfigurationError, match="cannot go on: File too large; put that right and start it again"):
            run(folder, on_step=lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, was[1])))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
        signal.signal(signal.SIGXFSZ, handler)

    run(folder)

    assert adapter_bytes(folder) == adapter_bytes(whole)
