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

Most of GEPA's calls validate each accepted candidate on every held-out task, which in this world buys it nothing, as it is looked at
without regard to the scores. `gepa_8` is GEPA with the first 8 held-out tasks of a family, as many as judge one decision of ours.

Both writers see, of each failing task, its feedback, which names one broken convention: GEPA's of a minibatch of three tasks under the
parent, ours of all attempts that our history shows.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from conventions import Calls, Draws, House, answer, house, judged, lines, rules_in, wrote
from gepa import optimize
from gepa.core.adapter import EvaluationBatch
from passes import LIMIT, ours, until
from serving import changed, facts

from skill_plugin.graphs import EvolveSettings
from skill_plugin.records import Task

SETUPS = {"one": {"families": 1, "train": 40, "heldout": 20}, "five": {"families": 5, "train": 20, "heldout": 20}}
SIDES = ("gepa", "gepa_8", "ours")


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
        """Notes how many unseen tasks a candidate solves that was taken in."""
        text = event["candidate"]["rules"]
        share = fmean(bool(judged(task, answer(task.input, text)).passed) for task in self._world.unseen)
        self.best = max(self.best, share)
        if share == 1 and self.solved_at is None:
            self.solved_at = Calls(self.calls.agent, self.calls.writer)


class _Silent:
    def log(self, message: str) -> None:
        pass


def gepa(world: House, *, error: float, seed: int, limit: int = LIMIT, validation: int | None = None) -> dict[str, Any]:
    """Counts calls of GEPA until the unseen tasks are solved; it may use `validation` held-out tasks of a family."""
    by_family: defaultdict[str, list[Task]] = defaultdict(list)
    for task in world.heldout:
        by_family[task.family].append(task)
    adapter = Adapter(world, error=error, seed=seed)
    optimize(
        {"rules": "- nothing yet"},
        list(world.train),
        [task for tasks in by_family.values() for task in tasks[:validation]],
        adapter=adapter,  # type: ignore[arg-type] # its protocol is generic in ways that ours is not
        custom_candidate_proposer=adapter.proposed,
        stop_callbacks=lambda _: adapter.solved_at is not None or adapter.calls.all >= limit,
        callbacks=[adapter],  # type: ignore[list-item] # it looks for methods by name
        logger=_Silent(),
        seed=seed,
    )
    return until(adapter.calls, adapter.solved_at, share=adapter.best)


def compare(
    *,
    seeds: int,
    setups: Sequence[str] = tuple(SETUPS),
    errors: Sequence[float] = (0.0, 0.3),
    settings: EvolveSettings | None = None,
    limit: int = LIMIT,
) -> list[dict[str, Any]]:
    """Runs both sides; returns a row a run: set-up, error rate, seed, and what both took."""
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
                    "gepa_8": gepa(world, error=error, seed=seed, limit=limit, validation=8),
                    "ours": ours(world, error=error, seed=seed, settings=settings or EvolveSettings(), limit=limit),
                }
                row["seconds"] = round(time.perf_counter() - began, 1)
                rows.append(row)
                print(f"  {setup} {error} {seed}: gepa {row['gepa']}, ours {row['ours']}", flush=True)
    return rows


def ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns, by set-up, means of both, the ratio of the means, and the range of the runs' own ratios.

    Unsolved runs count what they spent.
    """
    found: dict[str, Any] = {}
    for setup in dict.fromkeys(row["setup"] for row in rows):
        runs = [row for row in rows if row["setup"] == setup]
        found[setup] = {"unsolved": {side: sum(not run[side]["solved"] for run in runs) for side in SIDES}}
        for what in ("calls", "writer"):
            means = {side: fmean(run[side][what] for run in runs) for side in SIDES}
            each = [run["ours"][what] / max(run["gepa"][what], 1) for run in runs]
            found[setup][what] = facts(
                **means,
                ratio=means["ours"] / means["gepa"],
                ratio_to_gepa_8=means["ours"] / means["gepa_8"],
                least=min(each),
                most=max(each),
                median=sorted(each)[len(each) // 2],
            )
    return found


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
        settings=EvolveSettings(**changed(arguments.set)),
        limit=arguments.limit,
    )
    print(json.dumps(ratios(rows), indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, "ratios": ratios(rows)}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
