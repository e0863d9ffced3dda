"""Errors of the fall-back: how often a version as good as the one before is rolled back, and how soon a worse one.

    python benchmarks/fall_back.py [--seeds 100] [--store URL] [--json OUT]

In a real store, one skill a seed: 30 uses of its first version that pass at the first rate, a revision, its promotion, and uses of
it that pass at the second rate. A use is a rollout on a task of its own, recorded as a graph records it. Equal rates count what is
rolled back wrongly within 60 uses; .8 to .3 counts what is found within 300, and the share that is found within 60. `after_uses` are
the uses of the new version when it was rolled back. `exact_share` is the expected share over all seeds, by summing the
probabilities of all counts under the store's own rule; `exact_share_from_50` the same with 50 uses of the first version.
"""

import argparse
import json
import math
import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skill_plugin import Rollout, Task
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.store import SkillStore
from skill_plugin.store.runs.runs import RunRollout
from skill_plugin.store.runs.utility import is_due, is_worse
from skill_plugin.store.skills.lift import Sample

BEFORE = 30
EARLY = 60
CASES = {(0.7, 0.7): EARLY, (0.8, 0.8): EARLY, (0.8, 0.3): 300}
"""Rates, and the uses of the second version."""
TARGETS = {"0.7 to 0.7": "at most 0.03", "0.8 to 0.8": "at most 0.03", "0.8 to 0.3": "1.0"}


def measure(location: str | Path, *, seeds: int = 100) -> dict[str, Any]:
    """Measures every case, by `FROM to TO`; the store at `location` must be new."""
    with SkillStore.open(location, embedder=HashingEmbedder(), chroma=False) as store:
        return {
            f"{before} to {after}": _case(store, before, after, seeds, uses) for (before, after), uses in CASES.items()
        }


def _case(store: SkillStore, before: float, after: float, seeds: int, uses: int) -> dict[str, Any]:
    counts = [_until_rolled_back(store, seed, (before, after), uses) for seed in range(seeds)]
    found = sorted(count for count in counts if count is not None)
    return {
        "seeds": seeds,
        "uses": uses,
        "rolled_back": len(found),
        "share": round(len(found) / seeds, 3),
        "exact_share": round(exact_share(before, after, BEFORE, uses), 4),
        "share_within_60": sum(count <= EARLY for count in found) / seeds,
        "exact_share_within_60": round(exact_share(before, after, BEFORE, EARLY), 4),
        "exact_share_from_50": round(exact_share(before, after, 50, uses), 4),
        "target": TARGETS[f"{before} to {after}"],
        "after_uses": {str(count): found.count(count) for count in sorted(set(found))},
        "median_uses": statistics.median(found) if found else None,
    }


def exact_share(before: float, after: float, known: int, uses: int) -> float:
    """Computes the probability of a fall-back within so many uses, the first version having `known` of them."""
    return sum(
        chance * _found(Sample(known, passed), after, uses) for passed, chance in enumerate(_binomial(known, before))
    )


def _found(earlier: Sample, rate: float, uses: int) -> float:
    left, at, found = {0: 1.0}, 0, 0.0
    for look in (number for number in range(1, uses + 1) if is_due(number - 1, number)):
        step, after = _binomial(look - at, rate), dict[int, float]()
        for passed, chance in left.items():
            for more, so_many in enumerate(step):
                after[passed + more] = after.get(passed + more, 0.0) + chance * so_many
        worse = {passed for passed in after if is_worse(Sample(look, passed), earlier)}
        found += sum(after.pop(passed) for passed in worse)
        left, at = after, look
    return found


def _binomial(count: int, rate: float) -> list[float]:
    return [math.comb(count, passed) * rate**passed * (1 - rate) ** (count - passed) for passed in range(count + 1)]


def _until_rolled_back(store: SkillStore, seed: int, rates: Sequence[float], uses: int) -> int | None:
    """Counts uses of the second version until the first is live again; None if it never is."""
    chance = random.Random(f"{seed} {rates}")  # noqa: S311 - it has to be repeatable
    name = f"seed-{seed}-{rates[0] * 10:.0f}-{rates[1] * 10:.0f}"
    skill = store.add(name=name, description=f"How to work at {name}", body="Do it.")
    for rate, count in zip(rates, (BEFORE, uses), strict=True):
        if skill.uses:
            skill = store.promote(store.revise(name, body="Do it otherwise.").ref)
        passed = [chance.random() < rate for _ in range(count)]
        store.runs.record_all([_ran(skill.ref, number, one) for number, one in enumerate(passed)])
        skill = store.get(name)
    return skill.uses - BEFORE if skill.version == 1 else None


def _ran(ref: str, number: int, passed: bool) -> RunRollout:
    rollout = Rollout(generation=0, answer="", skill=ref, reward=float(passed), passed=passed)
    return RunRollout(f"{ref}-{number}", Task(f"work {number} of {ref}"), rollout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--store", help="an empty database instead of a folder that is thrown away")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(arguments.store or folder, seeds=arguments.seeds)
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
