"""What users get of a library: held-out tasks through the whole graph, on a copy, so that measuring teaches nothing."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench import Bench

from skill_plugin import embedders, verifiers
from skill_plugin.graphs import create_skill_graph
from skill_plugin.protocols import Embedder
from skill_plugin.records import Task
from skill_plugin.store import SkillStore


@dataclass(frozen=True, kw_only=True)
class Served:
    """Outcome of tasks that ran through the graph.

    Args:
        tasks: Number of tasks.
        solved: Share that passed.
        reward: Mean reward; a task whose call failed counts 0.
        shown: Share that a skill was shown for.
        failed: Calls that failed.
        prompt_tokens: Tokens read, over all tasks.
        tokens: Tokens written, over all tasks.
        seconds: Seconds of this process's processor time.
    """

    tasks: int
    solved: float
    reward: float
    shown: float
    failed: int
    prompt_tokens: int
    tokens: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


@cache
def encoder() -> Embedder:
    """Returns MiniLM, loaded once."""
    return embedders.load("minilm")


@contextmanager
def library(folder: Path, texts: Sequence[str] = ()) -> Iterator[SkillStore]:
    """Opens a library in a folder, and adds texts to it."""
    with SkillStore.open(folder, embedder=encoder(), chroma=False) as store:
        for text in texts:
            store.add_text(text)
        yield store


def served(bench: Bench, folder: Path, tasks: Sequence[Task]) -> Served:
    """Runs tasks through the graph with what is live in a folder's library."""
    with tempfile.TemporaryDirectory() as copied:
        if folder.exists():
            shutil.copytree(folder, copied, dirs_exist_ok=True)
        with library(Path(copied)) as store:
            return asyncio.run(_served(bench, store, tasks))


async def _served(bench: Bench, store: SkillStore, tasks: Sequence[Task]) -> Served:
    # No verifier in the graph: what it learned from the first tasks would change what the later ones get.
    graph = create_skill_graph(store=store, llm=bench.llm).compile()
    judge = verifiers.as_verifier(bench.verifier)
    began, slots = time.process_time(), asyncio.Semaphore(bench.max_concurrency)

    async def one(task: Task) -> dict[str, Any] | Exception:
        async with slots:
            try:
                return await graph.ainvoke({"task": task.input, "family": task.family})
            except Exception as exc:  # noqa: BLE001 - counted; one call must not end a table
                return exc

    found = await asyncio.gather(*(one(task) for task in tasks))
    ended = [(task, one) for task, one in zip(tasks, found, strict=True) if isinstance(one, dict)]
    verdicts = [judge.verify(task, one["answer"] or "") for task, one in ended]
    rollouts = [rollout for _, one in ended for rollout in store.runs.rollouts(one["run_id"])]
    return Served(
        tasks=len(tasks),
        solved=sum(bool(one.passed) for one in verdicts) / len(tasks),
        reward=sum(one.reward for one in verdicts) / len(tasks),
        shown=sum(one["skill"] is not None for _, one in ended) / len(tasks),
        failed=len(found) - len(ended),
        prompt_tokens=sum(rollout.input_tokens or 0 for rollout in rollouts),
        tokens=sum(rollout.output_tokens or 0 for rollout in rollouts),
        seconds=time.process_time() - began,
    )
