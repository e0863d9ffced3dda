"""Error rates of the gate of checkpoints: how often it promotes a generator that is not better, and one that is.

    python benchmarks/checkpoint_gate.py [--draws 400] [--json OUT] [--only looks]

Simulated rewards, judged by the gate's own code. Paired: each held-out task has an ease from 0.1 to 0.9, each of 4 texts is off it by a
normal draw of 0.2 (and by the true gain), and is tried 4 times; `strict` asks for more repairs than regressions, `interval` also that
the gain's 95 % interval is above 0, as `retrain` does. Off-policy: 4 logged texts a task out of 5 kinds that were sampled evenly; a
candidate and a live policy that prefer the better ones, the first by more; `coverage` is how often the 95 % interval holds the true
gain, without a cap on the weights. Looks: the gate that draws more until it is sure, as `retrain` runs it by default (50 tasks at first, 2
texts of either generator each, each tried twice; up to 8 texts for each of the first tasks, of further tasks while there are some),
beside the gate that looks once, on the same draws. The gain differs from task to task by a normal draw of 0.15; `calls` are
rollouts and texts, `cost` is in calls of the gate that looks once.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from skill_plugin.gates.checkpoints import decide
from skill_plugin.gates.looks import is_hopeless, plan_looks
from skill_plugin.gates.off_policy import estimate
from skill_plugin.records import Revision

TEXTS = [Revision(completion="---\nname: a\ndescription: b\n---\nc", text="x")] * 10
QUALITY = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
MEAN_EASE = 0.6
FIRST, TEXTS_AT_FIRST, TRIES = 50, 2, 2


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


def looking(tasks: int, gain: float, draws: int, most: int) -> dict[str, Any]:
    """Measures how often the gate promotes that draws more texts, beside the one that looks once, and what both cost."""
    rng = np.random.default_rng(tasks)
    looks, once = plan_looks(TEXTS_AT_FIRST, most), plan_looks(TEXTS_AT_FIRST, TEXTS_AT_FIRST)
    promoted, fixed, smallest, calls = 0, 0, [], []
    first_calls = _calls(min(tasks, FIRST), TEXTS_AT_FIRST)
    for draw in range(draws):
        ease = rng.uniform(0.1, 0.9, size=(tasks, 1))
        shifts = (0.0, gain + rng.normal(0, 0.15, size=(tasks, 1)))
        live, candidate = (
            rng.binomial(TRIES, np.clip(ease + shift + rng.normal(0, 0.2, size=(tasks, most)), 0, 1)) / TRIES
            for shift in shifts
        )
        for plan in (once, looks):
            drawn, each = min(tasks, FIRST), TEXTS_AT_FIRST
            for look in plan:
                drawn = min(tasks, max(drawn, FIRST * look.texts // each))
                each = max(each, min(look.texts, FIRST * look.texts // drawn))
                before, after = (of[:drawn, :each].mean(1).tolist() for of in (live, candidate))
                said = decide(
                    before=before,
                    after=after,
                    candidate=TEXTS,
                    live=TEXTS,
                    confident=True,
                    tail=look.tail,
                    seed=draw,
                )
                gains = [b - a for a, b in zip(before, after, strict=True)]
                if said.promote or is_hopeless(gains, look, plan[-1]):
                    break
            if plan is once:
                fixed += said.promote
        promoted += said.promote
        smallest.append(said.smallest)
        calls.append(_calls(drawn, each))
    return {
        "tasks": tasks,
        "gain": gain,
        "most": most,
        "once": fixed / draws,
        "looks": promoted / draws,
        "calls_once": first_calls,
        "calls": round(float(np.mean(calls))),
        "calls_at_most": max(calls),
        "cost": round(float(np.mean(calls)) / first_calls, 2),
        "smallest_gain": round(float(np.median(smallest)), 3),
    }


def _calls(tasks: int, texts: int) -> int:
    return tasks * (TRIES + 2 * texts + 2 * texts * TRIES)


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
    parser.add_argument("--only", choices=("paired", "off_policy", "looks"))
    parser.add_argument("--most", type=int, default=8, help="the most texts of either generator for a task")
    arguments = parser.parse_args()
    draws = arguments.draws
    cells = {
        "paired": [(paired, tasks, gain, draws) for tasks in (4, 8, 16, 32, 64) for gain in (0.0, 0.1, 0.2)],
        "off_policy": [(off_policy, tasks, draws) for tasks in (5, 10, 20, 50)],
        "looks": [
            (looking, tasks, gain, draws, arguments.most) for tasks in (34, 100, 200) for gain in (0.0, 0.03, 0.06, 0.1)
        ],
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for name, calls in cells.items():
        if arguments.only in (None, name):
            found[name] = []
            for function, *given in calls:
                found[name].append(function(*given))
                print(found[name][-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
