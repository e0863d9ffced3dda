"""`evolve` beside GEPA on the same scripted models: calls until unseen tasks are solved whole.

    pip install --no-deps gepa==0.1.4
    python benchmarks/beside_gepa.py [--seeds 5] [--setups one five] [--errors 0 0.3] [--set NAME=VALUE ...] [--json OUT]

The world is benchmarks/conventions.py's: one family with 40 train and 20 held-out tasks, or five with 20 and 20 each, and 20 unseen
tasks a family. GEPA improves one text for all families, from the train tasks, with the held-out ones as its validation set; ours a
library, with the held-out ones as judges. Both have their defaults; `--set` changes ours.

A call is one answer of the agent or one text of the writer, so that four candidates of one prompt count four; everything that a side asks
for counts, controls, gates and replays too. Each side is looked at as soon as what it would serve changes, for nothing: GEPA at each
candidate that it accepts, when it has been validated, whether or not it is the best so far; ours at the first call after a
promotion and at the end of a pass, by search in the live library. A pass is an `evolve` over all tasks; the next one is
`evolve(new=True)` on the same library. The side stops when every unseen task passes, or after `--limit` calls.

Both writers see, of each failing task, its feedback, which names one broken convention: GEPA's of a minibatch of three tasks under the
parent, ours of all attempts that our history shows.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from conventions import Calls, Draws, House, Writer, answer, facts, house, judged, lines, rules_in, wrote
from gepa import optimize
from gepa.core.adapter import EvaluationBatch

from skill_plugin.graphs import Evolved, EvolveSettings, aevolve
from skill_plugin.records import Task
from skill_plugin.store import SkillStore

SETUPS = {"one": {"families": 1, "train": 40, "heldout": 20}, "five": {"families": 5, "train": 20, "heldout": 20}}
LIMIT = 20_000


class Ours:
    """`evolve` in passes, stopped when the live library solves every unseen task."""

    def __init__(self, world: House, *, error: float, seed: int, settings: EvolveSettings, limit: int) -> None:
        self.calls, self.passes, self.solved_at = Calls(), 0, None
        self.solved_at: Calls | None
        self._world, self._settings, self._limit = world, settings, limit
        self._scripted = Writer(error, Draws(seed), self.calls)
        self._progress, self._looked, self._running = Evolved(), 0, None
        self._running: asyncio.Task[Evolved] | None
        self._store: SkillStore | None = None

    def propose(self, task: Task, history: Any, *, n: int) -> Any:
        return self._scripted.propose(task, history, n=n)

    async def apropose(self, task: Task, history: Any, *, n: int) -> Any:
        self._look()
        return self.propose(task, history, n=n)

    async def _agent(self, given: Any) -> str:
        self._look()
        self.calls.agent += 1
        return answer(given["task"], given["guidance"])

    def _look(self) -> None:
        """Looks at the unseen tasks where something was promoted since the last look."""
        if len(self._progress.accepted) != self._looked:
            self._looked = len(self._progress.accepted)
            self._check()
        if (self.solved_at or self.calls.all >= self._limit) and self._running is not None:
            self._running.cancel()

    def _check(self) -> None:
        if self.solved_at is None and self.share() == 1:
            self.solved_at = Calls(self.calls.agent, self.calls.writer)

    def share(self) -> float:
        """Of unseen tasks that the live library solves."""
        return fmean(self._solves(task) for task in self._world.unseen)

    def _solves(self, task: Task) -> bool:
        assert self._store is not None  # noqa: S101 - it is open while anything runs
        hits = self._store.search(task.input, k=1, family=task.family)
        return bool(judged(task, answer(task.input, hits[0].text if hits else "")).passed)

    async def run(self, folder: Path, *, passes: int) -> dict[str, Any]:
        """What it took."""
        tasks = [*self._world.train, *self._world.heldout]
        with SkillStore.open(folder, embedder="hashing", chroma=False) as self._store:
            while self.solved_at is None and self.passes < passes and self.calls.all < self._limit:
                self._progress, self._looked = Evolved(), 0
                self.passes += 1
                self._running = asyncio.create_task(
                    aevolve(
                        tasks,
                        store=self._store,
                        llm=self._agent,
                        generator=self,
                        verifier=judged,
                        settings=self._settings,
                        new=True,
                        progress=self._progress,
                    )
                )
                try:
                    await self._running
                except asyncio.CancelledError:
                    break
                self._check()
            return _figures(self.calls, self.solved_at, share=self.share(), passes=self.passes)


def ours(
    world: House, *, error: float, seed: int, settings: EvolveSettings, passes: int = 8, limit: int = LIMIT
) -> dict[str, Any]:
    """Calls of `evolve` until the unseen tasks are solved."""
    with tempfile.TemporaryDirectory() as folder:
        made = Ours(world, error=error, seed=seed, settings=settings, limit=limit)
        return asyncio.run(made.run(Path(folder), passes=passes))


class Adapter:
    """GEPA's way to the same agent, verifier and writer."""

    propose_new_texts = None

    def __init__(self, world: House, *, error: float, seed: int) -> None:
        self.calls, self.solved_at, self.best = Calls(), None, 0.0
        self.solved_at: Calls | None
        self._world, self._error, self._draws = world, error, Draws(seed)

    def evaluate(self, batch: list[Task], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        self.calls.agent += len(batch)
        answers = [answer(task.input, candidate["rules"]) for task in batch]
        verdicts = [judged(task, said) for task, said in zip(batch, answers, strict=True)]
        traces = [
            {"Inputs": task.input, "Generated Outputs": said, "Feedback": verdict.feedback}
            for task, said, verdict in zip(batch, answers, verdicts, strict=True)
        ]
        return EvaluationBatch(answers, [one.reward for one in verdicts], traces if capture_traces else None)

    def make_reflective_dataset(
        self, _candidate: dict[str, str], batch: Any, components: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        return dict.fromkeys(components, batch.trajectories)

    def proposed(self, candidate: dict[str, str], dataset: Mapping[str, Any], components: list[str]) -> dict[str, str]:
        self.calls.writer += 1
        rules = rules_in(candidate["rules"])
        feedback = [one["Feedback"] for one in dataset[components[0]]]
        return {"rules": lines(wrote(rules, feedback, error=self._error, draw=self._draws(rules, feedback)))}

    def on_valset_evaluated(self, event: Mapping[str, Any]) -> None:
        """A candidate was taken in."""
        text = event["candidate"]["rules"]
        share = fmean(bool(judged(task, answer(task.input, text)).passed) for task in self._world.unseen)
        self.best = max(self.best, share)
        if share == 1 and self.solved_at is None:
            self.solved_at = Calls(self.calls.agent, self.calls.writer)


class _Silent:
    def log(self, message: str) -> None:
        pass


def gepa(world: House, *, error: float, seed: int, limit: int = LIMIT) -> dict[str, Any]:
    """Calls of GEPA until the unseen tasks are solved."""
    adapter = Adapter(world, error=error, seed=seed)
    optimize(
        {"rules": "- nothing yet"},
        list(world.train),
        list(world.heldout),
        adapter=adapter,  # type: ignore[arg-type] # its protocol is generic in ways that ours is not
        custom_candidate_proposer=adapter.proposed,
        stop_callbacks=lambda _: adapter.solved_at is not None or adapter.calls.all >= limit,
        callbacks=[adapter],  # type: ignore[list-item] # it looks for methods by name
        logger=_Silent(),
        seed=seed,
    )
    return _figures(adapter.calls, adapter.solved_at, share=adapter.best)


def _figures(calls: Calls, solved_at: Calls | None, **more: Any) -> dict[str, Any]:
    """At the moment that it was solved, else at the end."""
    at = solved_at or calls
    return facts(solved=solved_at is not None, calls=at.all, agent=at.agent, writer=at.writer, **more)


def compare(
    *,
    seeds: int,
    setups: Sequence[str] = tuple(SETUPS),
    errors: Sequence[float] = (0.0, 0.3),
    settings: EvolveSettings | None = None,
    limit: int = LIMIT,
) -> list[dict[str, Any]]:
    """One row a run: set-up, error rate, seed, and what both sides took."""
    rows = []
    for setup in setups:
        for error in errors:
            for seed in range(seeds):
                world, began = house(seed, **SETUPS[setup]), time.perf_counter()
                row = {
                    "setup": setup,
                    "error": error,
                    "seed": seed,
                    "gepa": gepa(world, error=error, seed=seed, limit=limit),
                    "ours": ours(world, error=error, seed=seed, settings=settings or EvolveSettings(), limit=limit),
                }
                row["seconds"] = round(time.perf_counter() - began, 1)
                rows.append(row)
                print(f"  {setup} {error} {seed}: gepa {row['gepa']}, ours {row['ours']}", flush=True)
    return rows


def ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By set-up: means of both, the ratio of the means, and the range of the runs' own ratios. Unsolved runs count what they spent."""
    found: dict[str, Any] = {}
    for setup in dict.fromkeys(row["setup"] for row in rows):
        runs = [row for row in rows if row["setup"] == setup]
        found[setup] = {"unsolved": {side: sum(not run[side]["solved"] for run in runs) for side in ("gepa", "ours")}}
        for what in ("calls", "writer"):
            means = {side: fmean(run[side][what] for run in runs) for side in ("gepa", "ours")}
            each = [run["ours"][what] / max(run["gepa"][what], 1) for run in runs]
            found[setup][what] = facts(
                **means,
                ratio=means["ours"] / means["gepa"],
                least=min(each),
                most=max(each),
                median=sorted(each)[len(each) // 2],
            )
    return found


def settings_of(changes: Sequence[str]) -> EvolveSettings:
    """Our defaults with `NAME=VALUE` changed; values as in JSON, else texts."""
    given: dict[str, Any] = {}
    for one in changes:
        name, _, value = one.partition("=")
        try:
            given[name] = json.loads(value)
        except ValueError:
            given[name] = value
    return EvolveSettings(**given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--setups", nargs="+", choices=SETUPS, default=list(SETUPS))
    parser.add_argument("--errors", nargs="+", type=float, default=[0.0, 0.3])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--limit", type=int, default=LIMIT)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = compare(
        seeds=arguments.seeds,
        setups=arguments.setups,
        errors=arguments.errors,
        settings=settings_of(arguments.set),
        limit=arguments.limit,
    )
    print(json.dumps(ratios(rows), indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, "ratios": ratios(rows)}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
