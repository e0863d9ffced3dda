"""Real models of a few thousand random weights, with a tokenizer and a chat template, made in a second."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from skill_plugin.generators.prompt import REVISE_SYSTEM

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CONTEXT = 4096


def tiny_tokenizer(
    *,
    chat_template: str | None = TEMPLATE,
    vocabulary: int = 512,
    texts: Sequence[str] = (REVISE_SYSTEM,),
    added: Sequence[str] = (),
) -> PreTrainedTokenizerFast:
    """A byte-level BPE that was trained on texts; texts end with <|im_end|>, rows with <|endoftext|>.

    What is `added` is one token each, whatever its length.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(list(added))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = chat_template
    return fast


def tiny_model(
    folder: Path,
    *,
    seed: int = 0,
    tokenizer: PreTrainedTokenizerFast | None = None,
    chat_template: str | None = TEMPLATE,
    **config: Any,
) -> Path:
    """A folder with a random Qwen2 in float32 (about 60 000 weights), as `from_pretrained` and vLLM read it.

    The heads have 32 dimensions, the least that vLLM takes on a processor. The weights are large enough for the
    distributions to be far from uniform.
    """
    tokenizer = tokenizer or tiny_tokenizer(chat_template=chat_template)
    torch.manual_seed(seed)
    options = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": CONTEXT, "initializer_range": 0.2,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None,
        "tie_word_embeddings": True,
    }  # fmt: skip
    model = Qwen2ForCausalLM(Qwen2Config(**{**options, **config})).float()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # What most models on the hub bring along, and a generator must not sample by.
    path = folder / "generation_config.json"
    own = {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05}
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **own}), encoding="utf-8")
    return folder


def tiny_adapter(folder: Path, base: Path, *, seed: int = 0, rank: int = 4) -> Path:
    """A folder with a LoRA adapter that changes what the model at `base` writes."""
    model = Qwen2ForCausalLM.from_pretrained(base)
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    get_peft_model(model, config).save_pretrained(folder)
    return folder
