"""The budget's minutes, and the calls of models in this process: ended at their next token, and in nobody's way."""

import asyncio
import time

import pytest
import torch

from evolving import adding, run
from fakes import MACHINE, FingersAdder
from skill_plugin import generators
from skill_plugin.budget import Budget, Spending
from skill_plugin.graphs import EvolveSettings, execute_node, verify_node
from skill_plugin.graphs.evolution.recorder import Recorder
from skill_plugin.graphs.evolution.rollout import Trial
from skill_plugin.graphs.evolution.trials import Trials
from skill_plugin.models import chat_models
from skill_plugin.models.local_engine import LocalEngine
from skill_plugin.records import Revision
from tiny_models import tiny_model

ENDLESS = 3000
SOON = Budget(minutes=1 / 60)
ONE = EvolveSettings(generations=1, candidates=1, rollouts=1, concurrency=1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model whose texts never end by themselves, and take many seconds."""
    draw = LocalEngine._draw

    def endless(self, rows, scores):
        time.sleep(0.01)
        scores[:, self.loaded.ends] = -torch.inf
        return draw(self, rows, scores)

    monkeypatch.setattr(LocalEngine, "_draw", endless)
    return tiny_model(tmp_path / "model")


def test_they_end_what_a_local_generator_writes(store, folder):
    writer = generators.local(folder, max_new_tokens=ENDLESS)
    result = run(store, adding(1, 2), writer=writer, budget=SOON, settings=ONE)

    assert "minutes are over, and what a model in this process was writing was ended" in result.outcome
    assert (result.candidates, result.failed) == (0, [])
    assert result.spending.seconds < 0.01 * ENDLESS


def test_and_what_a_local_task_llm_writes(store, folder):
    llm = chat_models.load(f"local:{folder}", max_tokens=ENDLESS)
    result = run(store, adding(1), llm=llm, budget=SOON, settings=ONE)

    assert "what a model in this process was writing was ended" in result.outcome
    assert (result.failed, result.generations) == ([], {})


async def test_a_generator_in_this_process_takes_no_place_of_the_task_llm(store):
    """There is one place for calls; the rollout runs while the generator writes."""
    may_end = asyncio.Event()

    class Here:
        in_process = True

        async def apropose(self, task, history, *, n):
            await may_end.wait()
            return [Revision(completion=MACHINE)] * n

        def propose(self, task, history, *, n):
            raise AssertionError

    [task] = adding(1)
    async with Recorder(store) as recorder:
        execute, spending = execute_node(FingersAdder()), Spending(Budget())
        trials = Trials(execute, verify_node(), recorder, spending, concurrency=1, verifier=None)
        writing = asyncio.create_task(trials.written(Here(), task, [], 1))
        await asyncio.sleep(0)
        ran = await trials.run(Trial(run=dict(trials.run_for("run", task)), skill=None, generation=0, k=0), {})
        may_end.set()

    assert ran["rollout"]["reward"] == 0.0
    assert [one.text for one in await writing] == [MACHINE]
