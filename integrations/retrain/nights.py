"""The nights of a namespace, as the store remembers them."""

from skill_plugin.store import SkillStore
from skill_plugin.store.runs.training_runs import SUCCEEDED
from skill_plugin.training.files.nights import NightPoint


def night_points(store: SkillStore) -> list[NightPoint]:
    """Returns what each night measured that trained a checkpoint, oldest first."""
    points = []
    for run in store.runs.training.list():
        gate = run.progress.get("gate") or {}
        if run.outcome not in SUCCEEDED:
            continue
        asked = gate.get("kind", "none") != "none"
        measured = {key: gate[key] for key in ("kind", "before", "after", "low", "high")} if asked else {}
        reward = run.progress.get("learned_from", {}).get("reward_mean")
        points.append(NightPoint(run.created_at, run.outcome == "promoted", reward, **measured))
    return points
