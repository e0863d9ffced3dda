"""A tiny real model that was taught the library's prompt: it writes short skills that are skills, and says by chance what is in them.

Its world is as small. A task asks for the total of an invoice, a refund or a parcel; the simulated clerk, who is the task LLM,
knows the number and gives it in the unit that its skill says; each family of tasks wants another unit. What is right is in the
prompt, but the model was not taught to heed it: that is left to learn from rewards.
"""

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from skill_plugin import verifiers
from skill_plugin.generators.prompt import REVISE_SYSTEM, revise_prompt
from skill_plugin.records import Generation, Rollout, Task, Verdict
from tiny_models import tiny_model, tiny_tokenizer

UNITS = ("cents", "euros", "dollars", "pence")
WANTED = {"invoices": "cents", "refunds": "euros", "parcels": "dollars"}
SKILL = "---\nname: {family}\ndescription: How to answer on {family}.\n---\n\nGive totals in {unit}, the number and then the word"

LEARNS_IN_A_NIGHT: dict[str, Any] = {
    "rank": 8, "alpha": 16, "learning_rate": 5e-3, "groups_per_step": 4, "epochs": 4, "clip_low": 0.5, "clip_high": 1.0,
    "ratio_cap": "none", "kl_weight": 0.05, "snapshot_steps": 5, "gradient_checkpointing": False,
}  # fmt: skip
"""Of one family's 100 tasks, 4 texts for each, most of what there is to learn. How surely is in LOG.md of 2026-11-21; with twice the rate
one night in 24 ends in texts without an end."""

CONTEXT = 400
"""Tokens of a prompt, mostly 140 to 280, and a skill of 26: a text that does not end is cut off soon."""

_NUMBERS = range(100, 1000)
_IGNORED = -100


def total_tasks(numbers: Iterable[int], *, split: str = "train", families: Iterable[str] = WANTED) -> list[Task]:
    return [
        Task(
            f"What is the total of {family} {number}?",
            reference=f"{number} {WANTED[family]}",
            family=family,
            split=split,
            verifier={"name": "exact_match"},
        )
        for family in families
        for number in numbers
    ]


def simulated_clerk(given: Mapping[str, Any]) -> str:
    """The simulated task LLM: does what the skill says, and without one answers with the bare number."""
    number, unit = re.search(r"\d+", given["task"])[0], re.search(r"Give totals in (\w+)", given["guidance"])
    return f"{number} {unit[1]}" if unit else number


def own_judge(task: Task, answer: str) -> Verdict:
    """A verifier as users have one: a function of their own, which only its name is logged of."""
    return verifiers.exact_match().verify(task, answer)


def tried(task: Task, *, unit: str | None = None, generation: int = 0, rollouts: int = 1) -> Generation:
    """What the loop would have recorded of a task under no skill, or under one that says `unit`."""
    number = re.search(r"\d+", task.input)[0]
    answer = f"{number} {unit}" if unit else number
    right = answer == task.reference
    rollout = Rollout(
        generation=generation,
        answer=answer,
        reward=float(right),
        passed=right,
        feedback="" if right else f"expected {task.reference!r}, got {answer!r}",
    )
    text = SKILL.format(family=task.family, unit=unit) if unit else None
    return Generation(number=generation, text=text, rollouts=(rollout,) * rollouts)


def tiny_writer(folder: Path, *, seed: int = 0, steps: int = 150, rows: int = 12) -> Path:
    """A folder with the model. It is taught on this machine's processor, in seconds.

    Args:
        folder: Where it goes.
        seed: Of its weights and its lessons.
        steps: Lessons, at least those in which the form is learned.
        rows: Prompts in each.
    """
    random_ = random.Random(seed)
    tokenizer = _tokenizer([_lesson(random_) for _ in range(64)])
    tiny_model(folder, seed=seed, tokenizer=tokenizer, initializer_range=0.08, max_position_embeddings=CONTEXT)
    model = Qwen2ForCausalLM.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 8e-3, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so little work is not done faster by two, and far slower where the processor is busy
    for _ in range(steps):
        taught = []
        for _ in range(rows):
            prompt, completion = _lesson(random_)
            ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
            taught.append((ids, [*tokenizer(completion)["input_ids"], tokenizer.eos_token_id]))
        loss = _loss(model, taught)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    torch.set_num_threads(threads)
    model.save_pretrained(folder)
    return folder


def _tokenizer(lessons: list[tuple[list[dict[str, str]], str]]) -> PreTrainedTokenizerFast:
    """One to which what stands in every prompt is a token a line, the system message one altogether: passes are then cheap."""
    users, completions = [prompt[1]["content"] for prompt, _ in lessons], [text for _, text in lessons]
    written = {line for text in completions for line in text.split("\n")}
    often = Counter(
        line for text in users for line in dict.fromkeys(text.split("\n")) if line not in written and len(line) > 8
    )
    lines = [line for line, times in often.items() if times >= len(lessons) / 8]
    return tiny_tokenizer(
        texts=[*users, *completions], vocabulary=600, added=[REVISE_SYSTEM, *lines, "\n---\n\n", "---\n"]
    )


def _lesson(random_: random.Random) -> tuple[list[dict[str, str]], str]:
    """A prompt, and a skill that is none of those tried."""
    [task] = total_tasks([random_.choice(_NUMBERS)], families=[random_.choice(list(WANTED))])
    rollouts = random_.choice([1, 2])
    past = [tried(task, rollouts=rollouts)]
    units = list(UNITS)
    if random_.random() < 0.3:  # the second generation has a skill to revise
        unit = random_.choice([one for one in UNITS if one != WANTED[task.family]])
        units.remove(unit)
        past.append(tried(task, unit=unit, generation=1, rollouts=rollouts))
    return revise_prompt(task, past), SKILL.format(family=task.family, unit=random_.choice(units))


def _loss(model: Any, taught: list[tuple[list[int], list[int]]]) -> torch.Tensor:
    """Mean cross-entropy of the completions' tokens; logits are made of those alone."""
    longest = max(len(prompt) + len(completion) for prompt, completion in taught)
    ids_B_T = torch.zeros((len(taught), longest), dtype=torch.long)
    wanted_B_T = torch.full((len(taught), longest), _IGNORED)
    for row, (prompt, completion) in enumerate(taught):
        end = len(prompt) + len(completion)
        ids_B_T[row, :end] = torch.tensor([*prompt, *completion])
        wanted_B_T[row, len(prompt) - 1 : end - 1] = torch.tensor(completion)
    hidden_B_T_E = model.model(input_ids=ids_B_T).last_hidden_state  # padding is on the right: nothing looks at it
    told = wanted_B_T != _IGNORED
    return cross_entropy(model.lm_head(hidden_B_T_E[told]), wanted_B_T[told])
