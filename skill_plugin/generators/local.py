"""Revisions from a model in this process: for one machine without a server, and to check what a server logs."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skill_plugin.generators.prompt import BUDGET, revise_prompt
from skill_plugin.generators.reading import read
from skill_plugin.generators.sampling import MAX_TOKENS, PROCESSED, Sampling, cut_off
from skill_plugin.models.base_models import adapter_folder
from skill_plugin.models.local_calls import LocalReply, LocalSampling
from skill_plugin.models.local_engine import engine_of, replies
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.skills.edits import MAX_CHANGE

if TYPE_CHECKING:
    from concurrent.futures import Future

ANSWER_SHARE = 5
"""A prompt leaves at least 1 / `ANSWER_SHARE` of a short context to the answer."""

TEMPLATE = 16
"""Tokens that a chat template adds to two messages, at most."""


class LocalGenerator:
    """Samples candidates with transformers, with or without a LoRA adapter, and logs what training needs.

    Each revision's `logprobs` are those of the distribution that its tokens were sampled from: float32, divided by the
    temperature, cut to the nucleus of `top_p` and normalised again (vLLM's `processed_logprobs`). The token that ends a
    completion is one of its tokens. Prompts that wait at the same time run as one batch, with the calls of a `LocalChat` of the same
    weights, and each prompt is read once for all of its candidates.

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

    in_process = True
    """Its calls can be ended, and take no place of the task LLM's; see `Trials`."""

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
        self._engine = engine_of(path, device=device, dtype=dtype, adapter=folder)
        self.path, self.device, self.tokenizer, self.model, _ = self._loaded = self._engine.loaded

    def propose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        prompt = self._prompt(task, history)
        futures = self._begun(prompt, n)
        try:
            written = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()  # after Ctrl-C; one that has its result stays as it is
        return [self._revision(prompt, reply, history) for reply in written]

    async def apropose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        """Proposes; stops at its next token when this is cancelled."""
        prompt = await asyncio.to_thread(self._prompt, task, history)
        written = await replies(lambda: self._begun(prompt, n))
        return [self._revision(prompt, reply, history) for reply in written]

    def _begun(self, prompt: list[dict[str, str]], n: int) -> "list[Future[LocalReply]]":
        sampling = self.sampling
        one = LocalSampling(
            temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_tokens, seed=sampling.seed
        )
        return self._engine.submit_ids(self.encode(prompt), [one.another(number) for number in range(n)])

    def _revision(self, prompt: list[dict[str, str]], reply: LocalReply, history: Sequence[Generation]) -> Revision:
        written = Revision(
            completion=reply.text,
            error=cut_off(reply.text) if reply.finish_reason == "length" else None,
            finish_reason=reply.finish_reason,
            prompt=tuple(prompt),
            model=self.path,
            checkpoint=self.checkpoint,
            sampling=self.sampling.to_json(PROCESSED),
            prompt_token_ids=tuple(reply.prompt_token_ids),
            completion_token_ids=tuple(reply.token_ids),
            logprobs=tuple(reply.logprobs),
            input_tokens=len(reply.prompt_token_ids),
            output_tokens=len(reply.token_ids),
        )
        return read(written, history, max_change=self._max_change)

    def encode(self, prompt: Sequence[dict[str, str]]) -> list[int]:
        """Returns the token ids of messages under the model's chat template, up to where the answer begins."""
        return self._engine.encode(prompt)

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
        with self._engine.computing, torch.inference_mode():
            logits_C_V = self.model(ids_1_T).logits[0, len(prompt_token_ids) - 1 : -1].float()  # noqa: N806
            chosen_C_1 = ids_1_T[0, len(prompt_token_ids) :, None]  # noqa: N806
            found: list[float] = logits_C_V.log_softmax(-1).gather(1, chosen_C_1)[:, 0].tolist()
        return found

    def _prompt(self, task: Task, history: Sequence[Generation]) -> list[dict[str, str]]:
        """Returns the prompt, cut to a short context by the model's own tokens."""
        context = self._loaded.context
        room = (
            BUDGET if context is None else context - min(self.sampling.max_tokens, context // ANSWER_SHARE) - TEMPLATE
        )
        if room >= BUDGET:
            return revise_prompt(task, history)
        return revise_prompt(task, history, budget=max(1, room), count=self._engine.count)
