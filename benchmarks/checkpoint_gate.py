"""Error rates of the gate of checkpoints: how often it promotes a generator that is not better, and one that is.

    python benchmarks/checkpoint_gate.py [--draws 400] [--json OUT]

Simulated rewards, judged by the gate's own code. Paired: each held-out task has an ease from 0.1 to 0.9, each of 4 texts is off it by a
normal draw of 0.2 (and by the true gain), and is tried 4 times; `strict` asks for more repairs than regressions, `interval` also that
the gain's 95 % interval is above 0, as `retrain` does. Off-policy: 4 logged texts a task out of 5 kinds that were sampled evenly; a
candidate and a live policy that prefer the better ones, the first by more; `coverage` is how often the 95 % interval holds the true
gain, without a cap on the weights.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from skill_plugin.gates.checkpoints import decide
from skill_plugin.gates.off_policy import estimate
from skill_plugin.records import Revision

TEXTS = [Revision(completion="---\nname: a\ndescription: b\n---\nc", text="x")] * 10
QUALITY = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
MEAN_EASE = 0.6


def paired(tasks: int, gain: float, draws: int) -> dict[str, Any]:
    """Measures the shares of draws in which the candidate is promoted."""
    rng = np.random.default_rng(tasks)
    strict = sure = 0
    for draw in range(draws):
        ease = rng.uniform(0.1, 0.9, size=(tasks, 1))
        before, after = (
            (rng.binomial(4, np.clip(ease + shift + rng.normal(0, 0.2, size=(tasks, 4)), 0, 1)).mean(1) / 4).tolist()
            for shift in (0.0, gain)
        )
        said = [
            decide(before=before, after=after, candidate=TEXTS, live=TEXTS, confident=confident, seed=draw).promote
            for confident in (False, True)
        ]
        strict, sure = strict + said[0], sure + said[1]
    return {"tasks": tasks, "gain": gain, "strict": strict / draws, "interval": sure / draws}


def off_policy(tasks: int, draws: int) -> dict[str, Any]:
    """Measures the share of draws whose interval holds the truth."""
    rng = np.random.default_rng(tasks)
    candidate, live = (np.exp(by * QUALITY) / np.exp(by * QUALITY).sum() for by in (2.0, 0.6))
    truth = float((candidate - live) @ QUALITY) * MEAN_EASE
    groups = np.repeat(np.arange(tasks), 4).tolist()
    held = 0
    for draw in range(draws):
        kinds = rng.integers(5, size=(tasks, 4))
        ease = rng.uniform(0.2, 1.0, size=(tasks, 1))
        rewards = (rng.random((tasks, 4)) < QUALITY[kinds] * ease).astype(float)
        logprobs = [np.log(policy)[kinds].ravel().tolist() for policy in (candidate, live, np.full(5, 0.2))]
        found = estimate(*logprobs, rewards.ravel().tolist(), groups, cap=None, seed=draw)
        held += found.low <= truth <= found.high
    return {"tasks": tasks, "true_gain": round(truth, 4), "coverage": held / draws}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"paired": [], "off_policy": []}
    for tasks in (4, 8, 16, 32, 64):
        for gain in (0.0, 0.1, 0.2):
            found["paired"].append(paired(tasks, gain, arguments.draws))
            print(found["paired"][-1], flush=True)
    for tasks in (5, 10, 20, 50):
        found["off_policy"].append(off_policy(tasks, arguments.draws))
        print(found["off_policy"][-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
