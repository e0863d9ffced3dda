"""Nights of training with a real model: what the generator's first texts are worth after each, and what the gate said.

    python benchmarks/evolution/nights.py --out OUT [--variants bi-level own-task ...] [--seeds 5] [--nights 3]

A night is what a user runs: `skill-plugin evolve` on new families, then `skill-plugin retrain`, in one home folder. It begins with the starter
as the live checkpoint. After each night the live generator and the night's candidate write the first skills of families that no night has seen
(`quality.py`), always the same ones, and the task LLM tries those on held-out wordings.

    bi-level      the defaults: texts are judged on sibling tasks, and compared with what they revise (lambda 1)
    own-task      judged on the task that they were written from (Skill-R1's credit)
    single-level  the same without the comparison with what they revise (lambda 0)
    inter-only    the same with hardly anything else (lambda 100; AdamW does not feel the size)
    literal       one text a prompt, as Skill-R1 has it

and, each with one thing otherwise: `lambda-half`, `lambda-2` (beside own-task), `four-rollouts`, `first-zero` (the first edit is compared with
nothing), `plain-prompts` (no shared prefix, which must not matter).

`OUT.csv` has a line a night and `OUT.png` the curves. Lines that are in OUT.csv are not measured again. A night of 12 families took about half an
hour of one free core.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parent.parent))
from curves import draw
from lines import read, write
from quality import first_texts
from serving import interval

from skill_plugin import generators
from skill_plugin.checkpoints import Checkpoint
from skill_plugin.demo.facts import FactWorld
from skill_plugin.models import chat_models
from skill_plugin.models.named_models import resolved
from skill_plugin.store import SkillStore
from skill_plugin.tasks.files import write_tasks

MODEL = "smollm2-135m"
UNSEEN = 901
TEXTS = 4

EVOLVE = "--generations 1 --candidates 4 --rollouts 1 --siblings 2 --gate-tasks 3 --full-groups --concurrency 32 --controls 0"
MODELS = "--verifier skill_plugin.demo.facts:judge --generator-max-tokens 160 --generator-dtype bfloat16"
RETRAIN = (
    "--set learning_rate=3e-4 --set groups_per_step=2 --set epochs=2 --set dtype=bfloat16 --set validation_groups=0 "
    "--gate-tasks 24 --gate-candidates 2 --gate-rollouts 1 --concurrency 32"
)
OWN = "--set credit=skill-r1"
VARIANTS: dict[str, tuple[str, str]] = {
    "bi-level": ("", ""),
    "own-task": ("--siblings 0 --credit skill-r1", OWN),
    "single-level": ("--siblings 0 --credit skill-r1", f"{OWN} --set inter_weight=0"),
    "inter-only": ("--siblings 0 --credit skill-r1", f"{OWN} --set inter_weight=100"),
    "literal": ("--siblings 0 --credit skill-r1 --candidates 1", OWN),
    "lambda-half": ("--siblings 0 --credit skill-r1", f"{OWN} --set inter_weight=0.5"),
    "lambda-2": ("--siblings 0 --credit skill-r1", f"{OWN} --set inter_weight=2"),
    "four-rollouts": ("--rollouts 4", ""),
    "first-zero": ("", "--set first_inter=zero"),
    "plain-prompts": ("", "--set way=plain"),
}
"""Further options of `evolve` and of `retrain`."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """The state after a night. Night 0 is before the first: the starter. `outcome` is the night's own, `gain` what its gate measured."""

    row: str
    seed: int
    night: int
    outcome: str = ""
    gain: float = 0.0
    valid: float
    states: float
    names: float
    reward: float
    candidate_reward: float = 0.0
    live: int = 0
    evolve_seconds: float = 0.0
    retrain_seconds: float = 0.0


def command(home: Path, *words: str) -> tuple[dict[str, Any], float]:
    """Runs a command of the shell; returns what it prints as JSON, and the processor seconds that it took."""
    given = [sys.executable, "-m", "skill_plugin.integrations.cli", *words, "--json", "--home", str(home)]
    began = os.times()
    ran = subprocess.run(given, capture_output=True, text=True, check=False)
    ended = os.times()
    if ran.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {ran.stderr[-2000:]}")
    spent = ended.children_user + ended.children_system - began.children_user - began.children_system
    found: dict[str, Any] = json.loads(ran.stdout)
    return found, spent


_measured: dict[str, dict[str, float]] = {}


def quality(checkpoint: Checkpoint, families: int) -> dict[str, float]:
    """Measures an adapter's first texts, once: a seed draws the same texts of the same weights."""
    if checkpoint.id not in _measured:
        _measured[checkpoint.id] = _quality(checkpoint.path, families)
    return _measured[checkpoint.id]


def _quality(adapter: str, families: int) -> dict[str, float]:
    generator = generators.local(resolved(MODEL), adapter, dtype="bfloat16", max_new_tokens=160, seed=1)
    llm = chat_models.load(f"local:{MODEL}", max_tokens=24)
    return first_texts(generator, llm, FactWorld(seed=UNSEEN, facts=families), texts=TEXTS).means()


def nights(row: str, seed: int, options: argparse.Namespace, known: int) -> Iterator[Line]:
    """Yields the state after each night that is not known yet; the home folder has what the earlier ones left."""
    home = options.out.with_suffix("") / f"{row}-{seed}"
    evolving, training = VARIANTS[row]
    models = ["--model", f"local:{resolved(MODEL)}", "--generator", f"local:{resolved(MODEL)}@live", *MODELS.split()]
    os.environ["SKILL_PLUGIN_TASK_MAX_TOKENS"] = "24"
    if known < 0:
        command(home, "checkpoints", "add", f"{resolved(MODEL)}@starter", "--promote", "--reason", "the starter")
        yield Line(row=row, seed=seed, night=0, **quality(_live(home), options.unseen))
    for night in range(max(1, known + 1), options.nights + 1):
        tasks = home / f"tasks-{night}.jsonl"
        facts = FactWorld(seed=1000 * seed + night, facts=options.facts + options.judges).draw()
        write_tasks(
            tasks,
            [task for at, fact in enumerate(facts) for task in fact.tasks(None if at < options.facts else "heldout")],
        )
        _, evolved = command(home, "evolve", "--tasks", str(tasks), *models, *EVOLVE.split(), *evolving.split())
        said, trained = command(home, "retrain", *models, *RETRAIN.split(), *training.split())
        candidate = said.get("checkpoint")
        with SkillStore.open(home, chroma=False) as store:
            live = len(store.list("live"))
            written = store.checkpoints.get(candidate) if candidate else None
        now = quality(_live(home), options.unseen)
        yield Line(
            row=row,
            seed=seed,
            night=night,
            outcome=said["outcome"],
            gain=round((said.get("gate") or {}).get("gain") or 0.0, 4),
            candidate_reward=quality(written, options.unseen)["reward"] if written else now["reward"],
            live=live,
            evolve_seconds=round(evolved),
            retrain_seconds=round(trained),
            **now,
        )


def _live(home: Path) -> Checkpoint:
    with SkillStore.open(home, chroma=False) as store:
        found = store.checkpoints.live()
    if found is None:
        raise SystemExit(f"{home} has no live checkpoint, though the starter was promoted in it; delete the folder")
    return found


def show(lines: Sequence[Line]) -> None:
    print("row\tnight\tseeds\treward, 95 %\tvalid\tstates the fact\tgate's gain\toutcomes\tCPU s: evolve, retrain")
    for row in dict.fromkeys(line.row for line in lines):
        for night in sorted({line.night for line in lines if line.row == row}):
            some = [line for line in lines if (line.row, line.night) == (row, night)]
            mean, half = interval([line.reward for line in some])
            means = [
                sum(getattr(line, name) for line in some) / len(some)
                for name in ("valid", "states", "gain", "evolve_seconds", "retrain_seconds")
            ]
            outcomes = ", ".join(line.outcome for line in some if line.outcome)
            print(
                f"{row}\t{night}\t{len(some)}\t{mean:.3f} +-{half:.3f}\t{means[0]:.2f}\t{means[1]:.2f}\t{means[2]:+.3f}\t{outcomes}\t"
                f"{means[3]:.0f}, {means[4]:.0f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--facts", type=int, default=12, help="families that a night evolves on")
    parser.add_argument("--judges", type=int, default=8, help="further families, which only the gate sees")
    parser.add_argument("--unseen", type=int, default=24, help="families to measure on")
    options = parser.parse_args()
    options.out = options.out.absolute()
    lines = read(options.out, Line)
    began = time.monotonic()
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for row in options.variants:
            known = max((line.night for line in lines if (line.row, line.seed) == (row, seed)), default=-1)
            for line in nights(row, seed, options, known):
                lines.append(line)
                write(options.out, Line, lines)
                print(f"{line}\n  after {(time.monotonic() - began) / 60:.0f} minutes", flush=True)
    show(lines)
    draw(
        options.out.with_suffix(".png"),
        lines,
        title=f"{MODEL}: first texts on unseen families",
        along="night",
        value="reward",
    )


if __name__ == "__main__":
    main()
