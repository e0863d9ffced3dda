"""Folders of training runs: a tiny real model, groups whose log-probs are that model's own, and a plan."""

import json
import random
from array import array
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from skill_plugin.training.data.advantages import advantages_C_K, parts
from skill_plugin.training.data.groups import LINES, OFFSETS, Candidate, Group, GroupWriter
from skill_plugin.training.files.manifest import read_json, write_json
from skill_plugin.training.plan import PLAN, TrainPlan
from skill_plugin.training.settings import AdvantageSettings, TrainSettings
from skill_plugin.training.trainer import train

torch.set_num_threads(1)  # on models as small as these, threads do nothing but wait for each other

QUICK = {
    "rank": 4, "alpha": 8, "learning_rate": 2e-3, "epochs": 2, "groups_per_step": 2, "snapshot_steps": 1, "max_kl": 100.0,
    "gradient_checkpointing": False,
}  # fmt: skip


def completion_logprobs(model, prompt, completion):
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1].float()
    return logits.log_softmax(-1)[range(len(completion)), list(completion)].tolist()


def make_groups(folder: Path, base: Path, *, count=4, candidates=3, seed=0, advantage=None, checkpoint=None):
    """Groups of random texts. A candidate's reward is the share of its even tokens, so there is something to learn."""
    model = AutoModelForCausalLM.from_pretrained(base)
    random_ = random.Random(seed)
    vocabulary = model.config.vocab_size
    with GroupWriter(folder) as writer:
        for number in range(count):
            prompt = [random_.randrange(3, vocabulary) for _ in range(random_.randrange(5, 12))]
            texts = [
                [random_.randrange(3, vocabulary) for _ in range(random_.randrange(2, 7))] for _ in range(candidates)
            ]
            rewards = [[sum(token % 2 == 0 for token in text) / len(text)] * 2 for text in texts]
            moved = advantages_C_K(rewards, [0.4], advantage or AdvantageSettings(), generation=1)
            group = Group(
                id=f"group-{number}",
                task=f"task-{number}",
                family="tests",
                generation=1,
                prompt_token_ids=tuple(prompt),
                temperature=1.0,
                candidates=tuple(
                    Candidate(
                        number=place,
                        completion_token_ids=tuple(text),
                        logprobs=tuple(completion_logprobs(model, prompt, text)),
                        rewards=tuple(reward),
                        pull=parts(row)[0],
                        push=parts(row)[1],
                        checkpoint=checkpoint,
                    )
                    for place, (text, reward, row) in enumerate(zip(texts, rewards, moved, strict=True))
                ),
                previous_rewards=(0.4,),
            )
            writer.add(group)
    return folder


def make_run(folder: Path, base: Path, *, groups=4, seed=0, plan=None, **train):
    """A run's folder, ready for `job.run`."""
    make_groups(folder / "data" / "train", base, count=groups, seed=seed)
    make_groups(folder / "data" / "validation", base, count=2, seed=seed + 1)
    made = TrainPlan(base_model=str(base), train=TrainSettings(**{**QUICK, **train}), **(plan or {}))
    write_json(folder / PLAN, made.to_json())
    return folder


def edit_groups(folder: Path, edit):
    """Changes what is in the lines of groups; also to what no builder writes."""
    groups = [json.loads(line) for line in (folder / LINES).read_text(encoding="utf-8").splitlines()]
    edit(groups)
    lines = [json.dumps(group).encode() + b"\n" for group in groups]
    (folder / LINES).write_bytes(b"".join(lines))
    (folder / OFFSETS).write_bytes(array("Q", [sum(map(len, lines[:at])) for at in range(len(lines))]).tobytes())


def trained(folder: Path, **options):
    """What is trained, without what surrounds it."""
    return train(folder, TrainPlan.from_json(read_json(folder / PLAN)), revision="of the tests", **options)


def adapter_bytes(folder: Path):
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()
