"""Rows of a store's histories, as far as groups are built from them; files of such rows, and the groups."""

import gzip
import json

from skill_plugin.histories import columns
from skill_plugin.training.data.dataset import build_groups
from skill_plugin.training.data.groups import Groups
from skill_plugin.training.settings import AdvantageSettings

COOL = {"temperature": 0.7, "top_p": 1.0, "logprobs_mode": "processed_logprobs"}
PLAIN = {"temperature": 1.0, "top_p": 1.0, "logprobs_mode": "raw_logprobs"}


def row(candidate=0, rewards=(1.0, 0.0), *, group="g0", **fields):
    """A good row of a store's histories, as far as groups are built from it."""
    return {
        "format": columns.FORMAT, "kind": "revision", "content_hash": f"hash of {group}", "family": "f", "split": "train",
        "generation": 1, "group_id": group, "candidate": candidate, "skill": f"s{candidate}@1", "error": None,
        "sampling": PLAIN, "prompt_token_ids": [1, 2, 3], "completion_token_ids": [4, 5], "logprobs": [-0.5, -0.25],
        "rewards": list(rewards), "previous_rewards": [0.0, 0.5], "later": [], "checkpoint": None, "base_model": "qwen", "source": None,
        "created_at": "2026-11-20T08:00:00+00:00", **fields,
    }  # fmt: skip


def later(task, *rewards, before=(), used=None):
    return {"task": task, "rewards": list(rewards), "before": list(before), "none": [], "used": used}


def texts(path, content):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as file:
        file.write(content)
    return path


def build(folder, rows, *, advantage=None, **options):
    """All groups, those of validation last, and the report."""
    options = {"base_model": "qwen", "ages": {None: 0}, "validation_share": 0.0, **options}
    report = build_groups(rows, folder, advantage=advantage or AdvantageSettings(), **options)
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == report.to_json()
    return [*Groups(folder / "train"), *Groups(folder / "validation")], report
