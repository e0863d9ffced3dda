"""Revisions from a vLLM server, over its OpenAI-compatible HTTP interface."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skill_plugin.errors import ModelError
from skill_plugin.generators.prompt import revise_prompt
from skill_plugin.generators.reading import read
from skill_plugin.generators.sampling import MAX_TOKENS, PROCESSED, RAW, Sampling, cut_off
from skill_plugin.generators.vllm_server import PATIENCE_S, VllmServer
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.settings import MODEL_TIMEOUT_S
from skill_plugin.skills.edits import MAX_CHANGE

_LOADS = 3  # more than one, because a server can go away between the loading and the call
_UNKNOWN = -9999.0  # vLLM's value for a log-probability that it does not have
_NOTHING_ELSE = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Sent with every call, because vLLM fills a missing setting from the model's generation_config.json."""


class VllmGenerator:
    """Samples n candidates in one call and logs what training needs: token ids and log-probabilities.

    `sampling["logprobs_mode"]` of a revision names the distribution of its `logprobs`: `raw_logprobs` is the model's
    own at temperature 1 (vLLM's default), `processed_logprobs` the one that was sampled from. At temperature 1 and
    top_p 1 they are the same; otherwise the server is asked, once.

    A server that goes away is waited for, and an adapter that it forgot is loaded again.

    Args:
        base_url: The server's URL, with the `/v1`.
        model: The base model's name there.
        checkpoint: The name of a LoRA adapter there; None is the base model, or the name of `adapter_path`'s folder.
        adapter_path: The adapter's folder as the server sees it; where the server does not know `checkpoint`, it is loaded.
        temperature: See `Sampling`, for `top_p`, `max_tokens` and `seed` too.
        patience: Seconds to wait for a server that cannot be reached, is starting (502, 503) or is busy (429).
        timeout: Seconds that the server may be silent before a call has failed.
        max_change: Share of the current body that edits may change; None means no limit.

    Raises:
        ConfigurationError: an argument cannot work.
        MissingExtraError: the `vllm` extra is not installed.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        checkpoint: str | None = None,
        adapter_path: str | Path | None = None,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_tokens: int = MAX_TOKENS,
        seed: int | None = None,
        patience: float = PATIENCE_S,
        timeout: float = MODEL_TIMEOUT_S,
        max_change: float | None = MAX_CHANGE,
    ) -> None:
        self._max_change = max_change
        self.server = VllmServer(base_url, patience=patience, timeout=timeout)
        self.base_url = self.server.base_url
        self.model = model
        self.checkpoint = checkpoint or (Path(adapter_path).name if adapter_path is not None else None)
        self.sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=seed)
        self.patience, self.timeout = patience, timeout
        self._folders: dict[str, str] = {}
        if self.checkpoint is not None and adapter_path is not None:
            self._folders[self.checkpoint] = str(adapter_path)
        self._mode = RAW if self.sampling.is_plain else None

    def propose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        """Raises `ModelError` if the server cannot be reached, refuses, or sends a reply that cannot be trained on."""
        prompt = revise_prompt(task, history)
        mode = self._mode = self._mode or self._logprobs_mode()
        sampling = self.sampling
        seed = {} if sampling.seed is None else {"seed": sampling.seed}
        reply = self._complete(
            prompt, n=n, temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_tokens, **seed
        )
        try:
            choices = sorted(reply["choices"], key=lambda choice: int(choice["index"]))
            prompt_ids = _token_ids(reply["prompt_token_ids"])
            written = [self._revision(prompt, prompt_ids, choice, mode) for choice in choices]
        except (LookupError, TypeError, AttributeError, ValueError) as exc:
            raise self.server.unreadable(f"{type(exc).__name__}: {exc}") from exc
        if len(written) != n:
            raise self.server.unreadable(f"{len(written)} completions for {n}")
        return [read(revision, history, max_change=self._max_change) for revision in written]

    async def apropose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        return await asyncio.to_thread(self.propose, task, history, n=n)

    def load_adapter(self, name: str, path: str | Path) -> None:
        """Makes the server serve a LoRA adapter under a name, now and whenever it has forgotten it. Loading again does nothing.

        Raises:
            ModelError: the server cannot load it, or the name belongs to another folder there.
        """
        self._folders[name] = str(path)
        self.server.load_adapter(name, path)

    def unload_adapter(self, name: str) -> None:
        """Makes the server forget a LoRA adapter. Unloading a name that is not loaded does nothing.

        Raises:
            ModelError: the server refuses.
        """
        self._folders.pop(name, None)
        self.server.unload_adapter(name)

    def _complete(self, prompt: list[dict[str, str]], **options: Any) -> Any:
        name = self.checkpoint or self.model
        call = {
            "model": name,
            "messages": prompt,
            "logprobs": True,
            "return_token_ids": True,
            **_NOTHING_ELSE,
            **options,
        }
        reply = self.server.send("POST", "/chat/completions", call)
        for _ in range(_LOADS):
            if reply.status_code != 404 or name not in self._folders:
                break
            self.load_adapter(name, self._folders[name])
            reply = self.server.send("POST", "/chat/completions", call)
        if not reply.is_success:
            raise self.server.refused(reply, f"complete a prompt with {name!r}")
        return self.server.json(reply)

    def _revision(self, prompt: list[dict[str, str]], prompt_ids: list[int], choice: Any, mode: str) -> Revision:
        completion = choice["message"]["content"] or ""
        why = choice["finish_reason"]
        if why not in {"stop", "length"}:
            raise ModelError(f"the model's reply ended with finish_reason {why!r}; look in the server's log")
        ids = _token_ids(choice["token_ids"])
        logprobs = [float(token["logprob"]) for token in choice["logprobs"]["content"]]
        if not ids or len(ids) != len(logprobs):
            raise ModelError(
                f"vLLM returned {len(ids)} token ids and {len(logprobs)} log-probabilities for one completion; there must be "
                "as many, and at least one; update the server"
            )
        if not all(_UNKNOWN < value < 1e-3 for value in logprobs):  # float16 rounds a certain token to a little above 0
            raise ModelError(
                f"vLLM returned log-probabilities from {min(logprobs)} to {max(logprobs)}, which cannot be; start it with "
                f"--logprobs-mode {RAW} or {PROCESSED}"
            )
        return Revision(
            completion=completion,
            error=cut_off(completion) if why == "length" else None,
            finish_reason="length" if why == "length" else "stop",
            prompt=tuple(prompt),
            model=self.model,
            checkpoint=self.checkpoint,
            sampling=self.sampling.to_json(mode),
            prompt_token_ids=tuple(prompt_ids),
            completion_token_ids=tuple(ids),
            logprobs=tuple(logprobs),
            input_tokens=len(prompt_ids),
            output_tokens=len(ids),
        )

    def _logprobs_mode(self) -> str:
        """Asks how far the likeliest first tokens are apart at two temperatures: processed, at 2 it is half of that at 1.

        vLLM does not say which it returns: `--logprobs-mode` is not part of any reply.
        """
        apart = []
        for temperature in (1.0, 2.0):
            prompt = [{"role": "user", "content": "Name a number."}]
            reply = self._complete(prompt, top_logprobs=5, max_tokens=1, temperature=temperature, top_p=1.0)
            try:
                likeliest = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
                first, *_, fourth = sorted((float(token["logprob"]) for token in likeliest), reverse=True)[:4]
                apart.append(first - fourth)  # the fifth may be whichever token was drawn
            except (LookupError, TypeError, ValueError) as exc:
                raise self.server.unreadable(f"{type(exc).__name__}: {exc}") from exc
        return RAW if apart[1] > 0.75 * apart[0] else PROCESSED


def _token_ids(value: Any) -> list[int]:
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise TypeError(f"token ids are {type(value).__name__}")
    return value
