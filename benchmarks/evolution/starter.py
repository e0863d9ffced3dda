"""Makes the starter: a LoRA adapter by which SmolLM2-135M writes well-formed skills that heed the feedback part of the time.

    OMP_NUM_THREADS=1 python benchmarks/evolution/starter.py --out FOLDER [--lessons 120]
    OMP_NUM_THREADS=1 python benchmarks/evolution/starter.py --out FOLDER --measure ADAPTER

It is supervised training on made-up revisions (`lessons.py`), of which a part is hollow on purpose: heeding the feedback is left for
`retrain` to teach. The adapter, its hash and its card go to FOLDER/starter; a run that was killed is resumed. `--measure` looks at any adapter
(`none` is the base model): what its first texts are like on families of other kinds (`quality.py`).
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parent.parent))
import torch
from lessons import lessons, questions
from quality import first_texts
from safetensors.torch import load_file, save_file

from skill_plugin import generators
from skill_plugin.demo.facts import FactWorld
from skill_plugin.models import chat_models
from skill_plugin.models.adapter_files import CONFIG, WEIGHTS, adapter_sha256
from skill_plugin.models.named_models import resolved
from skill_plugin.training.pairs import Pair, train_on_pairs

MODEL = "smollm2-135m"
SEED, UNSEEN = 1, 901
SETTINGS: dict[str, Any] = {
    "rank": 8,
    "alpha": 16,
    "learning_rate": 1.2e-3,
    "sft_epochs": 1,
    "groups_per_step": 2,
    "dtype": "bfloat16",
    "gradient_checkpointing": False,
    "warmup": 0.05,
}


KEPT = (
    "base_model_name_or_path",
    "bias",
    "inference_mode",
    "lora_alpha",
    "lora_dropout",
    "peft_type",
    "r",
    "target_modules",
    "task_type",
)
"""What of PEFT's configuration is kept; older releases warn of what they do not know."""


def answers(folder: Path, number: int) -> list[str]:
    """Returns what the frozen model answers to the lessons' questions, asked once."""
    kept = folder / f"answers-{number}.json"
    if not kept.exists():
        llm = chat_models.load(f"local:{MODEL}", max_tokens=16)
        replies = llm.batch([task.input for task in questions(SEED, number)])
        kept.write_text(json.dumps([reply.text for reply in replies], ensure_ascii=False), encoding="utf-8")
    found: list[str] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def half(source: Path, target: Path) -> None:
    """Copies an adapter with its weights in bfloat16, the model's own type: half the bytes."""
    target.mkdir(parents=True, exist_ok=True)
    written = json.loads((source / CONFIG).read_text(encoding="utf-8")) | {"base_model_name_or_path": MODEL}
    config = {name: written[name] for name in KEPT}
    (target / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    weights = {name: value.to(torch.bfloat16) for name, value in load_file(source / WEIGHTS).items()}
    save_file(weights, target / WEIGHTS, metadata={"format": "pt"})


def card(made: dict[str, Any]) -> str:
    """Returns the card of a starter: what it is, how it was made, and how often it does what."""
    unseen, settings = made["unseen"], ", ".join(f"{name} {value}" for name, value in SETTINGS.items())
    return f"""---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
library_name: peft
---

# A starter generator for SmolLM2-135M-Instruct

A LoRA adapter by which the model writes well-formed skills (SKILL.md) from the prompt of skill-plugin, and heeds the feedback in it part of the
time. It is a beginning for `skill-plugin retrain`, and of no use for anything else.

- Made by `python benchmarks/evolution/starter.py` of skill-plugin: supervised training on {made["texts"]} texts for {made["lessons"]} made-up
  prompts (`lessons.py`, seed {SEED}), of which three in ten are hollow on purpose. No text is from anywhere else.
- {made["steps"]} steps on {made["tokens"]} tokens, {made["cpu_seconds"]} CPU seconds of one core: {settings}.
- On first texts for {made["families"]} families of other kinds of facts, {made["each"]} each at temperature 1: {unseen["valid"]:.0%} are skills,
  {unseen["states"]:.0%} state the fact that the feedback names to the letter, {unseen["names"]:.0%} name its value; the frozen model earns
  {unseen["reward"]:.3f} with them on other wordings of the question.
- sha256 (of weights and configuration): `{made["sha256"]}`
- Licence: Apache-2.0, as the weights that it changes.
"""


def measure(adapter: Path | None, *, families: int, texts: int) -> dict[str, float]:
    """Returns the quality of an adapter's first texts on unseen families."""
    generator = generators.local(resolved(MODEL), adapter, dtype="bfloat16", max_new_tokens=160, seed=SEED)
    llm = chat_models.load(f"local:{MODEL}", max_tokens=24)
    return first_texts(generator, llm, FactWorld(seed=UNSEEN, facts=families), texts=texts).means()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lessons", type=int, default=120)
    parser.add_argument("--measure", metavar="ADAPTER", help="only measure this adapter; none is the base model")
    parser.add_argument("--families", type=int, default=24, help="unseen families to measure on")
    parser.add_argument("--texts", type=int, default=4, help="texts of each")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    looks = {"families": options.families, "texts": options.texts}
    if options.measure:
        print(json.dumps(measure(None if options.measure == "none" else Path(options.measure), **looks)))
        return
    began = time.process_time()
    found = lessons(SEED, options.lessons, answers(options.out, options.lessons))
    pairs = [Pair(messages=tuple(one.messages), completion=text.rstrip()) for one in found for text in one.texts]

    def tell(done: Any) -> None:
        print(
            f"step {done.step} of {done.steps}: loss {done.last['loss']:.3f}, {time.process_time() - began:.0f} CPU s",
            flush=True,
        )

    trained = train_on_pairs(options.out / "run", pairs, base_model=str(resolved(MODEL)), on_step=tell, **SETTINGS)
    half(options.out / "run" / "adapter", options.out / "starter")
    made = {
        "sha256": adapter_sha256(options.out / "starter"),
        "lessons": options.lessons,
        "texts": len(pairs),
        "steps": trained.step,
        "tokens": trained.tokens,
        "cpu_seconds": round(time.process_time() - began),
        "families": options.families,
        "each": options.texts,
        "unseen": measure(options.out / "starter", **looks),
    }
    (options.out / "starter" / "README.md").write_text(card(made), encoding="utf-8")
    (options.out / "starter.json").write_text(json.dumps(made, indent=2), encoding="utf-8")
    print(json.dumps(made, indent=2))


if __name__ == "__main__":
    main()
