"""Learning of the trainer: nights of evolve and training on a tiny real model, by how a text is credited.

    python benchmarks/learning.py [--seeds 3] [--nights 3] [--generations 1] [--families invoices ...] [--tasks 48] [--json OUT]

For each seed a tiny model (tests/tiny_writer.py, 89,000 weights) is taught to write short skills of which one in four is right.
Then, for each form of the advantage, nights: `evolve` with the model as local generator, a simulated task LLM, a real store and
a verifier, on tasks that no other night has; the rows of its histories become groups; the trainer trains an adapter, which
writes in the next night and is trained further then. Forms: `skill-r1` goes by the task that a text was written from,
`evolving-rl` by four sibling tasks, `sage` by both; `single-level` is `skill-r1` without R(g,c) - mean R(g-1); `rollout C=1` is the
paper's wording with one candidate a prompt, where all signal is in the inter term. Task calls are not the same in all forms: the
table says how many there were.

Reward before and after: of revisions that are freshly sampled for tasks of none of the nights, tried by the simulated task LLM,
malformed ones 0; with a 95 % interval over tasks. KL: to the base model, nats a token, of the last step. Target: with C=4 the
interval after the nights is above the one before.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for threads
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import torch
from scipy.stats import t as student_t

from skill_plugin import generators, verifiers
from skill_plugin.graphs import EvolveSettings, evolve
from skill_plugin.store import SkillStore
from skill_plugin.training import job
from skill_plugin.training.data.dataset import build_groups
from skill_plugin.training.files.manifest import write_json
from skill_plugin.training.plan import PLAN, TrainPlan
from skill_plugin.training.settings import AdvantageSettings, TrainSettings
from tiny_writer import WANTED, simulated_clerk, tiny_writer, total_tasks, tried

SIBLINGS = 4


class Form(NamedTuple):
    """C, K, how many siblings judge a text in `evolve`, and how rewards become advantages."""

    candidates: int
    rollouts: int
    siblings: int
    advantage: AdvantageSettings


FORMS = {
    "skill-r1": Form(4, 1, 0, AdvantageSettings(credit="skill-r1")),
    "evolving-rl": Form(4, 1, SIBLINGS, AdvantageSettings(credit="evolving-rl")),
    "sage": Form(4, 1, SIBLINGS, AdvantageSettings(credit="sage")),
    "single-level": Form(4, 1, 0, AdvantageSettings(credit="skill-r1", inter_weight=0.0)),
    "rollout C=1": Form(1, 2, 0, AdvantageSettings(credit="skill-r1", intra="rollout")),
}
MODES = ["skill-r1", "evolving-rl", "sage", "single-level"]

NEW_TOKENS = 60


def measured(generator: Any, *, families: Sequence[str], tasks: int, samples: int) -> dict[str, float]:
    """Measures the mean reward of fresh revisions, half of its 95 % interval, and the share that are skills."""
    judge = verifiers.load("exact_match")
    means, sound = [], []
    for task in total_tasks(range(900, 900 + tasks), families=families):
        written = generator.propose(task, [tried(task)], n=samples)
        answers = [one.text and simulated_clerk({"task": task.input, "guidance": one.text}) for one in written]
        means.append(fmean(float(bool(one) and judge.verify(task, one).passed) for one in answers))
        sound.append(fmean(one.text is not None for one in written))
    half = 1.96 * stdev(means) / len(means) ** 0.5
    return {"reward": round(fmean(means), 4), "half_95": round(half, 4), "well_formed": round(fmean(sound), 4)}


def learn(base: Path, home: Path, form: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs the nights of one form, from the base model on."""
    chosen = FORMS[form]
    settings = EvolveSettings(
        generations=arguments.generations,
        candidates=chosen.candidates,
        rollouts=chosen.rollouts,
        siblings=chosen.siblings,
        credit=chosen.advantage.credit,
        adaptive=False,  # whole groups to learn from
        minibatch=1,  # the tiny model's context has room for one task
        concurrency=4,
    )
    train = TrainSettings(
        rank=8,
        alpha=16,
        learning_rate=arguments.learning_rate,
        epochs=arguments.epochs,
        groups_per_step=arguments.groups_per_step,
        gradient_checkpointing=False,
        seed=seed,
    )
    nights: list[dict[str, Any]] = []
    adapter: Path | None = None
    with SkillStore.open(home / "store", embedder="hashing", chroma=False) as store:
        for night in range(arguments.nights):
            began, since = time.perf_counter(), datetime.now(UTC)
            generator = _generator(base, adapter)
            first = 100 + night * arguments.tasks
            run = evolve(
                total_tasks(range(first, first + arguments.tasks), families=arguments.families),
                store=store,
                llm=simulated_clerk,
                generator=generator,
                settings=settings,
            )
            evolved, folder = time.perf_counter(), home / f"night-{night}"
            report = build_groups(
                store.histories.rows(since=since),
                folder / "data",
                base_model=generator.path,
                ages=None,
                advantage=chosen.advantage,
            )
            plan = TrainPlan(
                base_model=str(base),
                parent=str(adapter) if adapter else None,
                parent_checkpoint=generator.checkpoint,
                train=train,
                advantage=chosen.advantage,
            )
            write_json(folder / PLAN, plan.to_json())
            trained = job.run(folder)
            if trained.outcome == "trained":  # else the night is lost, and what served before goes on
                adapter = folder / "adapter"
            took = {"evolve_s": evolved - began, "train_s": time.perf_counter() - evolved}
            nights.append(
                {
                    "task_calls": run.spending.task.calls if run.spending else 0,
                    "groups": report.groups,
                    "groups_by_siblings": report.groups_by_siblings,
                    "candidates": report.candidates,
                    "logged_reward": report.reward_mean,
                    "steps": trained.step,
                    "way": trained.way,
                    "reason": trained.reason,
                    **{name: round(trained.last.get(name, 0.0), 4) for name in ("kl", "clipped")},
                    **{name: round(value, 1) for name, value in took.items()},
                    **measured(
                        _generator(base, adapter),
                        families=arguments.families,
                        tasks=arguments.measure,
                        samples=arguments.samples,
                    ),
                }
            )
    return {"nights": nights, "after": {key: nights[-1][key] for key in ("reward", "half_95", "well_formed")}}


def _generator(base: Path, adapter: Path | None) -> Any:
    # Without a seed of its own: with one, all tasks would be measured with the same luck.
    # The folder of every adapter has the same name, and a checkpoint needs one of its own.
    name = adapter.parent.name if adapter else None
    return generators.local(base, adapter, checkpoint=name, max_new_tokens=NEW_TOKENS)


def summary(rows: list[dict[str, Any]]) -> None:
    """Prints each form's means over seeds, and the first form's lead over each other one, with 95 % intervals."""
    forms = list(dict.fromkeys(row["form"] for row in rows))
    by_form = {form: [row for row in rows if row["form"] == form] for form in forms}
    seeds, last = len(by_form[forms[0]]), len(rows[0]["nights"])
    print(f"\nover {seeds} seeds")
    for form, runs in by_form.items():
        nights = ", ".join(f"{fmean(run['nights'][night]['reward'] for run in runs):.3f}" for night in range(last))
        ends = [run["after"]["reward"] for run in runs]
        clear = sum(
            run["after"]["reward"] - run["after"]["half_95"] > run["before"]["reward"] + run["before"]["half_95"]
            for run in runs
        )
        steps, calls = (
            fmean(sum(night[what] for night in run["nights"]) for run in runs) for what in ("steps", "task_calls")
        )
        print(
            f"{form:22} {fmean(run['before']['reward'] for run in runs):.3f} -> {nights}; worst {min(ends):.3f}, best "
            f"{max(ends):.3f}; {clear} above their first interval; {steps:.0f} steps, {calls:.0f} task "
            "calls"
        )
    for other in forms[1:] if seeds > 1 else []:
        for night in range(last):
            ahead = [
                one["nights"][night]["reward"] - two["nights"][night]["reward"]
                for one, two in zip(by_form[forms[0]], by_form[other], strict=True)
            ]
            half = float(student_t.ppf(0.975, seeds - 1)) * stdev(ahead) / seeds**0.5
            better = sum(one > 0 for one in ahead)
            print(
                f"{forms[0]} over {other}, night {night + 1}: {fmean(ahead):+.3f} +-{half:.3f}, better in {better} of {seeds}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--generations", type=int, default=1)
    parser.add_argument("--families", nargs="+", choices=WANTED, default=[next(iter(WANTED))])
    parser.add_argument("--tasks", type=int, default=48, help="of each family, a night")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--groups-per-step", type=int, default=8)
    parser.add_argument("--measure", type=int, default=30, help="tasks of each family that measure")
    parser.add_argument("--samples", type=int, default=8, help="revisions for each of them")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=MODES)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(f"{'seed':>4}  {'form':22}{'before':>15}{'after':>15}{'skills':>8}{'KL':>8}{'steps':>7}{'s':>7}")
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        with tempfile.TemporaryDirectory() as folder:
            base = tiny_writer(Path(folder, "writer"), seed=seed)
            before = measured(
                _generator(base, None), families=arguments.families, tasks=arguments.measure, samples=arguments.samples
            )
            for place, form in enumerate(arguments.forms):
                began = time.perf_counter()
                found = learn(base, Path(folder, str(place)), form, seed, arguments)
                row = {"seed": seed, "form": form, "before": before, **found}
                row["seconds"] = round(time.perf_counter() - began, 1)
                rows.append(row)
                shown = [f"{one['reward']:.3f} +-{one['half_95']:.3f}" for one in (before, found["after"])]
                steps = sum(night["steps"] for night in found["nights"])
                print(
                    f"{seed:>4}  {form:22}{shown[0]:>15}{shown[1]:>15}{found['after']['well_formed']:>8.2f}"
                    f"{found['nights'][-1]['kl']:>8.3f}{steps:>7}{row['seconds']:>7.0f}",
                    flush=True,
                )
                print("      by night: " + ", ".join(f"{night['reward']:.3f}" for night in found["nights"]), flush=True)
    summary(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps({"settings": {**vars(arguments), "json": None}, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
