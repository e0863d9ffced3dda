import json
import logging
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.files.metrics import MetricsLog, read_metrics


def steps(folder):
    return [row["step"] for row in read_metrics(folder / "metrics.jsonl")]


def log(folder, *numbers, step=0):
    with MetricsLog(folder, step=step) as metrics:
        for number in numbers:
            metrics.write(number, {"loss": number / 10})


def test_each_step_is_a_line_that_is_there_at_once(tmp_path):
    with MetricsLog(tmp_path) as metrics:
        metrics.write(1, {"loss": 0.5, "kl": 0})
        assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 1, "loss": 0.5, "kl": 0.0}]


def test_what_is_no_finite_number_is_null_and_counted(tmp_path):
    with MetricsLog(tmp_path) as metrics:
        metrics.write(1, {"loss": math.nan, "kl": math.inf, "ratio": 1.0})
        metrics.write(2, {"loss": -math.inf})

        assert metrics.non_finite == 3
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": None, "kl": None, "ratio": 1.0},
        {"step": 2, "loss": None},
    ]


def test_a_new_run_begins_anew(tmp_path):
    log(tmp_path, 1, 2)
    log(tmp_path, 1)

    assert steps(tmp_path) == [1]


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 40))
def test_a_run_that_was_killed_anywhere_has_one_line_a_step(tmp_path_factory, done, saved, lost):
    folder = tmp_path_factory.mktemp("run")
    path = folder / "metrics.jsonl"
    saved = min(saved, done)
    log(folder, *range(1, done + 1))
    whole = path.read_bytes()
    after_saved = sum(len(line) for line in whole.splitlines(keepends=True)[saved:])
    path.write_bytes(whole[: len(whole) - min(lost, after_saved)])

    log(folder, *range(saved + 1, 10), step=saved)
    assert steps(folder) == list(range(1, 10))


def test_half_a_line_is_no_line(tmp_path):
    log(tmp_path, 1, 2)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step": 3, "lo')

    assert steps(tmp_path) == [1, 2]


def test_a_damaged_line_or_no_file_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match=r"there is no metrics\.jsonl in"):
        read_metrics(tmp_path / "metrics.jsonl")
    for line in ("{", "[]", "7", '{"loss": 1}', '{"step": null}'):
        (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n' + line + "\n")
        with pytest.raises(ConfigurationError, match=r"line 2 of '.*' is damaged; take that line out"):
            read_metrics(tmp_path / "metrics.jsonl")


def test_tensorboard_shows_the_same_and_of_a_resumed_run_each_step_once(tmp_path, monkeypatch):
    # TensorBoard reads files in the order of their names, which end in a count of this process's writers: of three
    # that are opened within a second, ".10" would be read before ".9". A resumed run is a process of its own.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))
    log(tmp_path, 1, 2, 3)
    log(tmp_path, 3, 4, step=2)
    with MetricsLog(tmp_path, step=4) as metrics:
        metrics.write(5, {"loss": math.nan, "kl": 0.25})

    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss")] == [
        (1, pytest.approx(0.1)), (2, pytest.approx(0.2)), (3, pytest.approx(0.3)), (4, pytest.approx(0.4)),
    ]  # fmt: skip
    assert [(event.step, event.value) for event in board.Scalars("kl")] == [(5, 0.25)]


def test_without_tensorboard_the_file_is_written_all_the_same(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level(logging.INFO, "skill_plugin"):
        log(tmp_path, 1, 2)

    assert caplog.messages == ["TensorBoard is not installed; the metrics are in metrics.jsonl alone"]
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]
    assert not (tmp_path / "tensorboard").exists()
