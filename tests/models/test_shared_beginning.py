import functools

import pytest
import torch

from skill_plugin.models import shared_beginning
from skill_plugin.models.local_calls import LocalSampling
from skill_plugin.models.local_engine import LocalEngine
from tiny_models import tiny_model

BEGINNING = list(range(5, 85))
PROMPTS = [[*BEGINNING, *range(100, 104)], [*BEGINNING, *range(200, 230)], [*BEGINNING, 9, 8, 7]]
HOT = LocalSampling(temperature=1.0, max_tokens=8, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def engine(folder):
    return LocalEngine(str(folder), device="cpu", dtype="float32")


@pytest.fixture
def read(engine, monkeypatch):
    """The shape of what the model is given at once, rows and tokens, without the tokens that it writes."""
    forward, sizes = engine.loaded.model.forward, []

    @functools.wraps(forward)  # `generate` looks whether it takes positions
    def noted(*given, **options):
        if (size := tuple(options["input_ids"].shape))[1] > 1:
            sizes.append(size)
        return forward(*given, **options)

    monkeypatch.setattr(engine.loaded.model, "forward", noted)
    return sizes


def written(engine, *prompts):
    """Runs prompts as one batch; returns the tokens and log-probabilities of each."""
    engine._is_at_work = True  # so that none begins before all wait
    calls = [engine.submit_ids(list(prompt), [HOT])[0] for prompt in prompts]
    engine._work()
    return [(call.result().token_ids, call.result().logprobs) for call in calls]


def alone(folder, prompt):
    engine = LocalEngine(str(folder), device="cpu", dtype="float32")
    engine._shares_prompts = False
    return written(engine, prompt)[0]


def test_what_all_prompts_of_a_batch_begin_with_is_read_once(folder, engine, read):
    replies = written(engine, *PROMPTS)

    assert read == [(1, 80), (3, 29)]
    for prompt, (ids, logprobs) in zip(PROMPTS, replies, strict=True):
        expected, of_expected = alone(folder, prompt)
        assert ids == expected
        assert logprobs == pytest.approx(of_expected, abs=1e-4)


def test_what_an_earlier_batch_read_is_not_read_again(folder, engine, read):
    first, second, third = (written(engine, prompt)[0] for prompt in PROMPTS)
    assert read == [(1, 83), (1, 29), (1, 2)]
    assert (first[0], second[0], third[0]) == tuple(alone(folder, prompt)[0] for prompt in PROMPTS)

    del read[:]
    assert written(engine, PROMPTS[0], PROMPTS[1])[1][0] == second[0]
    assert read == [(2, 29)]
    written(engine, BEGINNING, BEGINNING[:-1])
    assert read == [(2, 29)]  # one token of each is left to begin from


def test_a_batch_of_other_prompts_leaves_what_is_kept(engine, read):
    written(engine, PROMPTS[0])
    written(engine, [7, 8, 9], [9, 8, 7, 6])
    written(engine, PROMPTS[1])
    assert read == [(1, 83), (2, 3), (1, 29)]


def test_what_is_kept_has_a_limit(engine, read, monkeypatch):
    monkeypatch.setattr(shared_beginning, "MOST_TOKENS", 40)
    written(engine, *PROMPTS)
    written(engine, *PROMPTS)
    assert read == [(1, 40), (3, 69), (3, 69)]


def test_a_model_that_attends_within_a_window_reads_each_prompt(tmp_path, monkeypatch):
    """Keys that a window has passed are gone, and what fills a row up would be counted into it."""
    folder = tiny_model(tmp_path / "model", use_sliding_window=True, sliding_window=16, max_window_layers=0)
    engine = LocalEngine(str(folder), device="cpu", dtype="float32")
    replies = written(engine, *PROMPTS)

    assert engine._beginning._ids == ()
    assert [ids for ids, _ in replies] == [alone(folder, prompt)[0] for prompt in PROMPTS]
    assert engine._shares_prompts


def test_a_long_beginning_is_read_by_windows_too(tmp_path):
    """Two calls of one prompt share what is read of it."""
    folder = tiny_model(tmp_path / "model", use_sliding_window=True, sliding_window=16, max_window_layers=0)
    engine = LocalEngine(str(folder), device="cpu", dtype="float32")
    with torch.inference_mode():
        (one, _), (other, _) = written(engine, PROMPTS[1], PROMPTS[1])
    assert one == other == alone(folder, PROMPTS[1])[0]
