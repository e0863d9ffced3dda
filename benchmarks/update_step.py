"""One update of a generator's adapter: a group's prompt computed once, once a row, and by TRL's GRPOTrainer on the same tokens.

    python benchmarks/update_step.py [--prompt 4096] [--completion 300] [--group 16] [--config 0.5b] [--layers 2]
                                     [--device cpu] [--dtype float32] [--ways plain shared trl] [--json OUT]

A model of random weights with the widths of Qwen2.5-0.5B (or Qwen3-4B), LoRA of rank 16 on all linear layers (B not zero),
gradient checkpointing on, forward and backward over one group of random tokens. Where there are fewer layers than the real
model has, the vocabulary is smaller by the same factor, so that the head has its real share of the work.

`shared` and `plain` (2 rows at a time) are `skill_plugin.training`'s, with the reference log-probs from a cache, as they are from
the second epoch on. `trl` is TRL's own loss in micro-batches of 2 with its defaults, and its own pass for the reference; the
behaviour log-probs are handed to it as `old_per_token_logps`, which logged data needs and TRL alone would not do. All three have
the same loss: clip 0.2, KL 0.04 weighed by the ratio, summed over all tokens of the group.

Each is measured in a process of its own, after a small update to warm up: seconds of the update (and of processors,
which other work on the machine does not change as much), and the most memory above what the process held before
(sampled resident size; on a GPU what PyTorch allocated). `max_grad_rel_diff` is the largest relative difference
(Frobenius norm) of an adapter matrix's gradient between `shared` and `plain`, `trl_grad_rel_diff` between `trl` and
`plain`.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen3Config

from skill_plugin.training.data.groups import Candidate, Group
from skill_plugin.training.loss import token_losses
from skill_plugin.training.model.scoring import Scorer, batches
from skill_plugin.training.settings import LossSettings

ROWS, VOCABULARY = 2, 151_936
LOSS = LossSettings(clip_low=0.2, clip_high=0.2, ratio_cap=None, kl_weight=0.04, kl_importance=True)
LORA = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
CONFIGS: dict[str, Any] = {
    "0.5b": Qwen2Config(
        hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2,
        max_position_embeddings=32_768, tie_word_embeddings=True,
    ),
    "4b": Qwen3Config(
        hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32, num_key_value_heads=8,
        head_dim=128, max_position_embeddings=40_960, tie_word_embeddings=True,
    ),
}  # fmt: skip


class Data(NamedTuple):
    """Log-probs have shape [N]."""

    group: Group
    reference: Tensor
    behaviour: Tensor


def config(arguments: argparse.Namespace) -> Any:
    chosen = CONFIGS[arguments.config]
    deep = chosen.num_hidden_layers
    layers = arguments.layers or (2 if arguments.device == "cpu" else deep)
    own = {"num_hidden_layers": layers, "vocab_size": round(VOCABULARY * layers / deep), "layer_types": None}
    return type(chosen)(**{**chosen.to_dict(), **own, "max_window_layers": layers})


def base(arguments: argparse.Namespace) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config(arguments), dtype=getattr(torch, arguments.dtype))
    return model.to(arguments.device)


@torch.no_grad()
def fill(model: torch.nn.Module) -> torch.nn.Module:
    """Sets adapter weights that depend on their names alone."""
    for name, weights in model.named_parameters():
        if "lora_" in name:
            at = name[name.index("layers.") :]
            weights.normal_(0, 0.01, generator=torch.Generator(weights.device).manual_seed(zlib.crc32(at.encode())))
    return model


def ours(arguments: argparse.Namespace) -> Any:
    model = fill(get_peft_model(base(arguments), LORA)).train()
    name = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"  # since transformers 5.23
    getattr(model, f"{name}_checkpointing_enable")({"use_reentrant": False})
    return model


def made_up(prompt: int, completion: int, count: int, vocabulary: int) -> Group:
    torch.manual_seed(1)
    ids = torch.randint(0, vocabulary, (prompt + count * completion,)).tolist()
    # Advantages of both signs, that sum to 0.
    advantages = [(2 * number + 1) / count - 1 for number in range(count)]
    return Group(
        id="g", task="t", family="f", generation=1, prompt_token_ids=tuple(ids[:prompt]), temperature=1.0,
        candidates=tuple(
            Candidate(
                number=number, completion_token_ids=tuple(ids[begin : begin + completion]), logprobs=(), rewards=(),
                pull=max(advantages[number], 0.0), push=min(advantages[number], 0.0),
            )
            for number, begin in enumerate(range(prompt, len(ids), completion))
        ),
    )  # fmt: skip


def scored(scorer: Scorer, group: Group, chosen: list[int]) -> Tensor:
    logprobs: Tensor = scorer(
        group.prompt_token_ids, [group.candidates[c].completion_token_ids for c in chosen], group.temperature
    )
    return logprobs


def our_update(arguments: argparse.Namespace, model: Any, data: Data, way: Any) -> None:
    scorer, group, tokens = Scorer(model, way=way), data.group, len(data.behaviour)
    length = len(group.candidates[0].completion_token_ids)
    for chosen in batches(group, way, ROWS):
        at = slice(chosen[0] * length, (chosen[-1] + 1) * length)
        pull, push = (
            torch.tensor([getattr(group.candidates[c], name) for c in chosen], device=arguments.device)
            for name in ("pull", "push")
        )
        with autocast(arguments):
            logprobs = scored(scorer, group, chosen)
        losses = token_losses(
            logprobs, data.behaviour[at], data.reference[at], pull.repeat_interleave(length),
            push.repeat_interleave(length), LOSS,
        )  # fmt: skip
        (losses.total.sum() / tokens).backward()


def autocast(arguments: argparse.Namespace) -> Any:
    half = arguments.dtype != "float32"
    return torch.autocast(arguments.device, getattr(torch, arguments.dtype)) if half else nullcontext()


def trls(arguments: argparse.Namespace, folder: Path) -> Any:
    """Makes TRL's trainer of the same model."""
    warnings.simplefilter("ignore")
    from datasets import Dataset  # noqa: PLC0415 - only this way needs both
    from tokenizers import Tokenizer  # noqa: PLC0415
    from tokenizers.models import WordLevel  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415
    from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415

    steps = max(arguments.group // ROWS, 1)
    trainer = GRPOTrainer(
        base(arguments),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(
            str(folder), report_to="none", use_cpu=arguments.device == "cpu", bf16=arguments.dtype == "bfloat16",
            per_device_train_batch_size=ROWS, gradient_accumulation_steps=steps, num_generations=arguments.group,
            beta=LOSS.kl_weight, epsilon=LOSS.clip_low, loss_type="dapo", disable_tqdm=True,
            max_completion_length=arguments.completion,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["p"]}),
        processing_class=PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(WordLevel({"p": 0, "e": 1}, "e")), **dict.fromkeys(("pad_token", "eos_token"), "e")
        ),
        peft_config=LORA,
    )  # fmt: skip
    fill(trainer.model).train()
    trainer.current_gradient_accumulation_steps = steps
    if trainer.args.gradient_checkpointing:  # what Trainer.train does first
        trainer.model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    return trainer


def trl_update(arguments: argparse.Namespace, trainer: Any, data: Data) -> None:
    model, group = trainer.model_wrapped, data.group
    rows = len(group.candidates)
    completions = torch.tensor([one.completion_token_ids for one in group.candidates], device=arguments.device)
    prompts = torch.tensor([group.prompt_token_ids], device=arguments.device).repeat(rows, 1)
    both = torch.cat([prompts, completions], 1)
    with torch.no_grad(), trainer.accelerator.unwrap_model(model).disable_adapter():
        reference, _, _ = trainer._get_per_token_logps_and_entropies(  # noqa: SLF001 - its pass for the reference
            trainer.model, both, torch.ones_like(both), completions.shape[1], batch_size=ROWS
        )
    advantages = torch.tensor([one.pull + one.push for one in group.candidates], device=arguments.device)
    for begin in range(0, rows, ROWS):
        at = slice(begin, begin + ROWS)
        inputs = {
            "prompt_token_ids": prompts[at], "prompt_mask": torch.ones_like(prompts[at]), "completion_token_ids": completions[at],
            "completion_mask": torch.ones_like(completions[at]), "advantages": advantages[at],
            "old_per_token_logps": data.behaviour.view(rows, -1)[at], "ref_per_token_logps": reference[at],
            "num_items_in_batch": torch.tensor(completions.numel(), device=arguments.device),
        }  # fmt: skip
        trainer.compute_loss(model, inputs).backward()


@contextmanager
def measured(arguments: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Measures seconds and the most memory above what was there."""
    figures: dict[str, float] = {}
    gc.collect()
    done = threading.Event()
    page, before = os.sysconf("SC_PAGE_SIZE"), 0.0
    cuda = arguments.device != "cpu"

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * page / 2**20

    most = [0.0]

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], resident())

    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
    else:
        before = resident()
    watcher = threading.Thread(target=watch)
    watcher.start()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    yield figures
    if cuda:
        torch.cuda.synchronize()
    figures["seconds"] = round(time.perf_counter() - begin, 3)
    figures["cpu_seconds"] = round(time.process_time() - begin_cpu, 3)
    done.set()
    watcher.join()
    figures["peak_mb"] = round((torch.cuda.max_memory_allocated() / 2**20 if cuda else most[0]) - before, 1)


def child(arguments: argparse.Namespace) -> None:
    """Runs one way in this process; its figures and gradients go into the folder."""
    folder: Path = arguments.folder
    vocabulary = config(arguments).vocab_size
    group = made_up(arguments.prompt, arguments.completion, arguments.group, vocabulary)
    small = made_up(16, 4, arguments.group, vocabulary)
    nothing = torch.full((4 * arguments.group,), -11.0, device=arguments.device)
    if arguments.way == "reference":
        model = ours(arguments)
        with torch.no_grad(), model.disable_adapter(), autocast(arguments):
            reference = scored(Scorer(model, way="shared"), group, list(range(arguments.group)))
        save_file({"reference": reference.cpu()}, folder / "reference.safetensors")
        return
    reference = load_file(folder / "reference.safetensors", device=arguments.device)["reference"]
    torch.manual_seed(2)
    data = Data(group, reference, reference + 0.1 * torch.randn(len(reference)).to(reference))
    update: Callable[[Data], None]
    if arguments.way == "trl":
        trainer = trls(arguments, folder)
        model = trainer.model
        update = lambda data: trl_update(arguments, trainer, data)  # noqa: E731 - the three ways side by side
    else:
        model = ours(arguments)
        update = lambda data: our_update(arguments, model, data, arguments.way)  # noqa: E731
    update(Data(small, nothing, nothing))
    model.zero_grad()
    with measured(arguments) as figures:
        update(data)
    gradients = {
        name[name.index("layers.") :]: weights.grad
        for name, weights in model.named_parameters()
        if weights.grad is not None
    }
    save_file(
        {name: one.float().cpu().contiguous() for name, one in gradients.items()},
        folder / f"{arguments.way}.safetensors",
    )
    (folder / f"{arguments.way}.json").write_text(json.dumps(figures), encoding="utf-8")


def difference(folder: Path, way: str) -> float | None:
    if not all((folder / f"{one}.safetensors").exists() for one in (way, "plain")):
        return None
    found, plain = load_file(folder / f"{way}.safetensors"), load_file(folder / "plain.safetensors")
    if found.keys() != plain.keys():
        raise SystemExit(f"{way} and plain have gradients of different weights")
    return max(float((found[name] - plain[name]).norm() / plain[name].norm()) for name in plain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", type=int, default=4096)
    parser.add_argument("--completion", type=int, default=300)
    parser.add_argument("--group", type=int, default=16)
    parser.add_argument("--config", choices=CONFIGS, default="0.5b")
    parser.add_argument("--layers", type=int, help="by default 2 on a CPU, and as the real model on a GPU")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--ways", nargs="+", choices=("plain", "shared", "trl"), default=["plain", "shared", "trl"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", help=argparse.SUPPRESS)  # what a child process measures
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        child(arguments)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for way in track(["reference", *arguments.ways], "ways"):
            subprocess.run([sys.executable, *sys.argv, "--way", way, "--folder", made], check=True)
        figures = {way: json.loads((folder / f"{way}.json").read_text(encoding="utf-8")) for way in arguments.ways}
        figures |= {"max_grad_rel_diff": difference(folder, "shared"), "trl_grad_rel_diff": difference(folder, "trl")}
    shape = {name: getattr(arguments, name) for name in ("prompt", "completion", "group", "config", "device", "dtype")}
    of = config(arguments)
    figures["of"] = {**shape, "layers": of.num_hidden_layers, "vocabulary": of.vocab_size}
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
