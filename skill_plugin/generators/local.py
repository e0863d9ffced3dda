"""Revisions from a model in this process: for one machine without a server, and to check what a server logs."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skill_plugin.errors import MissingExtraError
from skill_plugin.generators.prompt import BUDGET, revise_prompt
from skill_plugin.generators.reading import read
from skill_plugin.generators.sampling import MAX_TOKENS, PROCESSED, Sampling, cut_off
from skill_plugin.models.base_models import adapter_folder, loading
from skill_plugin.models.loaded_model import load_model, placed
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.skills.edits import MAX_CHANGE

if TYPE_CHECKING:
    import torch

ANSWER_SHARE = 5
"""A prompt leaves at least 1 / `ANSWER_SHARE` of a short context to the answer."""

TEMPLATE = 16
"""Tokens that a chat template adds to two messages, at most."""


class LocalGenerator:
    """Samples candidates with transformers, with or without a LoRA adapter, and logs what training needs.

    Each revision's `logprobs` are those of the distribution that its tokens were sampled from: float32, divided by the
    temperature, cut to the nucleus of `top_p` and normalised again (vLLM's `processed_logprobs`). The token that ends a
    completion is one of its tokens. Calls from several threads take turns.

    Args:
        path: A folder with a causal language model in safetensors, or a model's name on the Hugging Face Hub.
        adapter: A folder with a LoRA adapter in safetensors, as PEFT saves it.
        checkpoint: The name to log the adapter under; by default its folder's name.
        device: A device as torch names it; by default `cuda` where there is one, else `cpu`.
        dtype: A data type such as `float32` or `bfloat16`; by default the one that the model was saved in.
        temperature: See `Sampling`, for `top_p`, `max_new_tokens` and `seed` too.
        max_change: Share of the current body that edits may change; None means no limit.

    Raises:
        ConfigurationError: the model or the adapter cannot be loaded, or an argument cannot work.
        MissingExtraError: the `local` extra is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        adapter: str | Path | None = None,
        *,
        checkpoint: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_new_tokens: int = MAX_TOKENS,
        seed: int | None = None,
        max_change: float | None = MAX_CHANGE,
    ) -> None:
        self._max_change = max_change
        self.sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_new_tokens, seed=seed)
        folder = None if adapter is None else adapter_folder(adapter)
        self.checkpoint = checkpoint or (folder.name if folder else None)
        self._turn = threading.Lock()
        loaded = load_model(path, device=device, dtype=dtype)
        if folder is not None:
            loaded = loaded._replace(model=_with_adapter(loaded.model, folder, loaded.path))
        self._loaded = placed(loaded)
        self.path, self.device, self.tokenizer, self.model, self._ends = self._loaded

    def propose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        return self._propose(task, history, n, threading.Event())

    async def apropose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        """Proposes in a thread, which stops at its next token when this is cancelled."""
        cancelled = threading.Event()
        try:
            return await asyncio.to_thread(self._propose, task, history, n, cancelled)
        finally:
            cancelled.set()

    def _propose(self, task: Task, history: Sequence[Generation], n: int, cancelled: threading.Event) -> list[Revision]:
        prompt = self._prompt(task, history)
        prompt_ids = self.encode(prompt)
        with self._turn:
            sampled = self._sample(prompt_ids, n, cancelled)
        written = []
        for ids, logprobs in sampled:
            completion = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            revision = Revision(
                completion=completion,
                error=None if ids[-1] in self._ends else cut_off(completion),
                finish_reason="stop" if ids[-1] in self._ends else "length",
                prompt=tuple(prompt),
                model=self.path,
                checkpoint=self.checkpoint,
                sampling=self.sampling.to_json(PROCESSED),
                prompt_token_ids=tuple(prompt_ids),
                completion_token_ids=tuple(ids),
                logprobs=tuple(logprobs),
                input_tokens=len(prompt_ids),
                output_tokens=len(ids),
            )
            written.append(read(revision, history, max_change=self._max_change))
        return written

    def encode(self, prompt: Sequence[dict[str, str]]) -> list[int]:
        """Returns the token ids of messages under the model's chat template, up to where the answer begins."""
        ids = self.tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, return_dict=False)
        return [int(one) for one in ids]

    def logprobs(self, prompt_token_ids: Sequence[int], completion_token_ids: Sequence[int]) -> list[float]:
        """Returns the log-probabilities of a completion's tokens at temperature 1 and without a nucleus, shape [C].

        vLLM calls them `raw_logprobs`. They are computed by one forward pass, in nats, normalised in float32.

        Raises:
            ModelError: both together are longer than the model's context.
        """
        import torch  # noqa: PLC0415

        if not completion_token_ids:
            return []
        self._loaded.room(len(prompt_token_ids) + len(completion_token_ids) - 1, 1)
        ids_1_T = torch.tensor([[*prompt_token_ids, *completion_token_ids]], device=self.device)  # noqa: N806
        with self._turn, torch.inference_mode():
            logits_C_V = self.model(ids_1_T).logits[0, len(prompt_token_ids) - 1 : -1].float()  # noqa: N806
            chosen_C_1 = ids_1_T[0, len(prompt_token_ids) :, None]  # noqa: N806
            found: list[float] = logits_C_V.log_softmax(-1).gather(1, chosen_C_1)[:, 0].tolist()
        return found

    def _sample(
        self, prompt_ids: list[int], n: int, cancelled: threading.Event | None = None
    ) -> list[tuple[list[int], list[float]]]:
        """Samples `n` completions with their log-probabilities, each up to and with the token that ended it, or `cancelled`."""
        import torch  # noqa: PLC0415
        from transformers import LogitsProcessorList, StoppingCriteriaList  # noqa: PLC0415

        def is_over(ids: torch.Tensor, _: object) -> torch.Tensor:
            return torch.full((len(ids),), cancelled is not None and cancelled.is_set(), device=ids.device)

        limit = self._loaded.room(len(prompt_ids), self.sampling.max_tokens)
        sampler = _Sampler(self.sampling)
        ids_1_P = torch.tensor([prompt_ids], device=self.device)  # noqa: N806
        with _seeded(self.sampling.seed, self.device):
            ids_n_T = self.model.generate(  # noqa: N806
                input_ids=ids_1_P,
                attention_mask=torch.ones_like(ids_1_P),  # one prompt, so there is nothing to pad on the left
                num_return_sequences=n,
                max_new_tokens=limit,
                logits_processor=LogitsProcessorList([sampler]),
                stopping_criteria=StoppingCriteriaList([is_over]),
            )
        sampler.note(ids_n_T)
        rows = zip(ids_n_T[:, len(prompt_ids) :].tolist(), torch.cat(sampler.drawn, dim=1).tolist(), strict=True)
        return [(ids[: (end := self._end(ids))], logprobs[:end]) for ids, logprobs in rows]

    def _end(self, ids: list[int]) -> int:
        """Returns how many tokens of a padded row were sampled before padding began."""
        return next((place for place, token in enumerate(ids, 1) if token in self._ends), len(ids))

    def _prompt(self, task: Task, history: Sequence[Generation]) -> list[dict[str, str]]:
        """Returns the prompt, cut to a short context by the model's own tokens."""
        context = self._loaded.context
        room = (
            BUDGET if context is None else context - min(self.sampling.max_tokens, context // ANSWER_SHARE) - TEMPLATE
        )
        if room >= BUDGET:
            return revise_prompt(task, history)
        return revise_prompt(task, history, budget=max(1, room), count=self._tokens)

    def _tokens(self, text: str) -> int:
        return len(self.tokenizer.encode(text, add_special_tokens=False))


class _Sampler:
    """Turns logits into the distribution to sample from, and notes the log-probability of each token that was drawn.

    The noted values are those that were sampled from, to the last bit; a second forward pass would round differently.
    """

    def __init__(self, sampling: Sampling) -> None:
        from transformers import TopPLogitsWarper  # noqa: PLC0415

        self.temperature = sampling.temperature
        self.nucleus = TopPLogitsWarper(sampling.top_p) if sampling.top_p < 1 else None
        self.drawn: list[torch.Tensor] = []  # each [n, 1]
        self._last_n_V: torch.Tensor | None = None

    def __call__(self, input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        self.note(input_ids)
        scaled = scores.float() / self.temperature
        if self.nucleus is not None:
            scaled = self.nucleus(input_ids, scaled)
        self._last_n_V = scaled.log_softmax(-1)
        return self._last_n_V

    def note(self, ids_n_t: "torch.Tensor") -> None:
        """Notes that the last token of each row was drawn from the distribution that was given last."""
        if self._last_n_V is not None:
            self.drawn.append(self._last_n_V.gather(1, ids_n_t[:, -1:]))


@contextmanager
def _seeded(seed: int | None, device: str) -> Iterator[None]:
    """Draws random numbers inside from a seed of their own; without a seed from the process's generator."""
    import torch  # noqa: PLC0415

    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[torch.device(device)] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield


def _with_adapter(model: Any, folder: Path, path: str) -> Any:
    try:
        from peft import PeftModel  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError("an adapter of a local generator", "local") from exc
    with loading(f"the adapter {str(folder)!r}", f"it must have been trained on {path!r}"):
        return PeftModel.from_pretrained(model, str(folder))
