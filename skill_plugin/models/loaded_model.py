"""A causal language model in this process: its weights, its tokenizer, the tokens that end its texts."""

import io
import json
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Any, NamedTuple

from skill_plugin.errors import ConfigurationError, MissingExtraError, ModelError
from skill_plugin.models.base_models import loading, model_folder

_WHAT = "a model in this process"

FAST = "fast"
"""The dtype that this machine computes fastest in: on a CPU bfloat16 where it has instructions for it, else float32."""


class LoadedModel(NamedTuple):
    """A model that transformers loaded, which samples by nothing but what a caller asks for.

    `ends` are the tokens that end a text.
    """

    path: str
    device: str
    tokenizer: Any
    model: Any
    ends: list[int]

    @property
    def context(self) -> int | None:
        """The most tokens of a prompt and its answer together; None for a recurrent model, which has no limit."""
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if context is None else int(context)

    def room(self, used: int, wanted: int) -> int:
        """Returns how many of the tokens that are wanted may follow the `used` ones.

        Raises:
            ModelError: the `used` ones fill the context.
        """
        context = self.context
        if context is None:
            return wanted
        if used >= context:
            raise ModelError(
                f"the prompt is {used} tokens long and the context of {self.path!r} {context}; use a model with a longer "
                "context, or shorter tasks, answers and skills"
            )
        return min(wanted, context - used)


def load_model(path: str | Path, *, device: str | None = None, dtype: str | None = None) -> LoadedModel:
    """Loads a model with a chat template. It is moved to its device by `placed`, after an adapter was put on.

    Args:
        path: A folder with a causal language model in safetensors, or a model's name on the Hugging Face Hub.
        device: A device as torch names it; by default `cuda` where there is one, else `cpu`.
        dtype: A data type such as `float32`, or `FAST`; by default the one that the model was saved in.

    Raises:
        ConfigurationError: the model cannot be loaded, or an argument cannot work.
        MissingExtraError: the `local` extra is not installed.
    """
    path, device, dtype = settled(path, device=device, dtype=dtype)
    try:
        import torch  # noqa: PLC0415 - seconds to import
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError(_WHAT, "local") from exc
    kind = "auto" if dtype is None else getattr(torch, dtype, None)
    if kind != "auto" and not isinstance(kind, torch.dtype):
        raise ConfigurationError(f"{dtype!r} is not a dtype; use float32, bfloat16 or float16")
    silence = redirect_stderr(io.StringIO())  # its bar
    with loading(f"the model {path!r}", "get it with: hf download NAME --local-dir FOLDER"), silence:
        tokenizer: Any = AutoTokenizer.from_pretrained(path)
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=kind, use_safetensors=True)
    if not tokenizer.chat_template:
        raise ConfigurationError(
            f"the tokenizer of {path!r} has no chat template; use an instruction-tuned model, or put a "
            "chat_template.jinja beside it"
        )
    ends = _end_tokens(model.generation_config.eos_token_id, tokenizer.eos_token_id)
    if not ends:
        raise ConfigurationError(f"the model {path!r} has no end-of-text token; set its tokenizer's eos_token")
    # A model brings defaults for settings that a caller leaves out, such as top-k and penalties: not used.
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0],
    )
    return LoadedModel(path, device, tokenizer, model, ends)


def settled(path: str | Path, *, device: str | None = None, dtype: str | None = None) -> tuple[str, str, str | None]:
    """Returns the folder or name, the device and the dtype that `load_model` takes; a dtype of None is the hub's to say."""
    path = model_folder(path)
    try:
        import torch  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError(_WHAT, "local") from exc
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if dtype == FAST:
        dtype = _fast(device)
    return path, device, dtype or _saved(Path(path))


def with_adapter(loaded: LoadedModel, folder: Path) -> LoadedModel:
    """Puts a LoRA adapter on a model, for sampling.

    In float32 it is merged, which costs nothing later. In half precision a merge would round most of a small adapter away (of one
    whose factors B are 5e-4 in size, 70 %, for smollm2-135m in bfloat16), so there it stays beside the weights, in their dtype.

    Raises:
        ConfigurationError: it cannot be loaded, or is of another model.
        MissingExtraError: the `local` extra is not installed.
    """
    import torch  # noqa: PLC0415

    try:
        from peft import PeftModel  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError("an adapter of a local generator", "local") from exc
    with loading(f"the adapter {str(folder)!r}", f"it must have been trained on {loaded.path!r}"):
        model: Any = PeftModel.from_pretrained(loaded.model, str(folder), autocast_adapter_dtype=False)
        if loaded.model.dtype == torch.float32:
            config = loaded.model.generation_config
            model = model.merge_and_unload()
            model.generation_config = config
    return loaded._replace(model=model)


def placed(loaded: LoadedModel) -> LoadedModel:
    """Moves a model to its device, ready to write.

    Raises:
        ConfigurationError: torch has no such device here.
    """
    with loading(f"the model {loaded.path!r} on the device {loaded.device!r}", "use cpu, or one that torch has here"):
        loaded.model.to(loaded.device).eval()
    return loaded


def _saved(folder: Path) -> str | None:
    """Returns the dtype that a folder's model was saved in, as its configuration says."""
    with suppress(OSError, ValueError, AttributeError):  # loading it says what is wrong
        config = json.loads((folder / "config.json").read_bytes())
        found = config.get("dtype") or config.get("torch_dtype")
        return found if isinstance(found, str) else None
    return None


def _fast(device: str) -> str | None:
    import torch  # noqa: PLC0415

    if device != "cpu":
        return None
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older releases cannot tell
    return "bfloat16" if found.get("amx_bf16") or found.get("avx512_bf16") else "float32"


def _end_tokens(*found: int | list[int] | None) -> list[int]:
    """Returns every token that ends a text: the model's and the tokenizer's may differ."""
    ids = (one for value in found if value is not None for one in (value if isinstance(value, list) else [value]))
    return list(dict.fromkeys(ids))
