"""Revisions from a vLLM server, over its OpenAI-compatible HTTP interface."""

import asyncio
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skill_plugin.edits import MAX_CHANGE
from skill_plugin.errors import ConfigurationError, MissingExtraError, ModelError
from skill_plugin.generators.reading import read
from skill_plugin.generators.sampling import MAX_TOKENS, PROCESSED, RAW, Sampling, cut_off
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.revision_prompt import revise_prompt
from skill_plugin.settings import MODEL_TIMEOUT_S

if TYPE_CHECKING:
    import httpx

PATIENCE_S = 120.0
"""How long a server that has gone away is waited for: about what a vLLM server takes to start."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 10.0
_LOADS = 3  # more than one, because a server can go away between the loading and the call
_AWAY = (502, 503)
_BUSY = 429
_UNKNOWN = -9999.0  # what vLLM writes for a log-probability that it does not have
_NOTHING_ELSE = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""A model's own defaults (its generation_config.json) would be used for what a call leaves out."""


class VllmGenerator:
    """Samples n candidates in one call and logs what training needs: token ids and log-probabilities.

    `sampling["logprobs_mode"]` of a revision says of which distribution its `logprobs` are: `raw_logprobs` of the model's
    own at temperature 1 (vLLM's default), `processed_logprobs` of the one that was sampled from. At temperature 1 and top_p 1
    they are the same; elsewhere the server is asked, once.

    A server that goes away is waited for, and an adapter that it forgot is loaded again.

    Args:
        base_url: Of the server, with the `/v1`.
        model: The base model's name there.
        checkpoint: The name of a LoRA adapter there; None is the base model, or the name of `adapter_path`'s folder.
        adapter_path: The adapter's folder as the server sees it; where the server does not know `checkpoint`, it is loaded.
        temperature: And `top_p`, `max_tokens`, `seed`: see `Sampling`.
        patience: Seconds to wait for a server that cannot be reached, is starting (502, 503) or is busy (429).
        timeout: Seconds that the server may be silent before a call has failed.
        max_change: Share of the current body that edits may change; None is no limit.

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
        try:
            import httpx  # noqa: PLC0415 - an extra
        except ImportError as exc:
            raise MissingExtraError("a vLLM generator", "vllm") from exc
        if not base_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"{base_url!r} is no server; give its URL, such as http://localhost:8000/v1")
        self._httpx = httpx
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.checkpoint = checkpoint or (Path(adapter_path).name if adapter_path is not None else None)
        self.sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=seed)
        self.patience, self.timeout = patience, timeout
        self._folders: dict[str, str] = {}
        if self.checkpoint is not None and adapter_path is not None:
            self._folders[self.checkpoint] = str(adapter_path)
        self._mode = RAW if self.sampling.is_plain else None

    def propose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        """Raises `ModelError` where the server cannot be reached, refuses, or returns what cannot be trained on."""
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
            raise self._unreadable(f"{type(exc).__name__}: {exc}") from exc
        if len(written) != n:
            raise self._unreadable(f"{len(written)} completions for {n}")
        return [read(revision, history, max_change=self._max_change) for revision in written]

    async def apropose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        return await asyncio.to_thread(self.propose, task, history, n=n)

    def load_adapter(self, name: str, path: str | Path) -> None:
        """Makes the server serve a LoRA adapter under a name, now and whenever it has forgotten it. Loading again does nothing.

        Raises:
            ModelError: the server cannot load it, or the name is another folder's there.
        """
        self._folders[name] = str(path)
        reply = self._send("POST", "/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})
        if reply.is_success:
            return
        if reply.status_code == 400 and (served := self._served()).get(name) is not None:
            if served[name] == str(path):
                return
            raise ModelError(
                f"the server at {self.base_url} serves {served[name]!r} as {name!r} already, not {str(path)!r}; "
                "name each adapter differently, or unload that one"
            )
        raise self._refused(reply, f"load the adapter {name!r}")

    def unload_adapter(self, name: str) -> None:
        """The opposite; a name that is not loaded is none either afterwards.

        Raises:
            ModelError: the server refuses.
        """
        self._folders.pop(name, None)
        reply = self._send("POST", "/unload_lora_adapter", {"lora_name": name})
        if not reply.is_success and not (reply.status_code == 404 and name in _message(reply)):
            raise self._refused(reply, f"unload the adapter {name!r}")

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
        reply = self._send("POST", "/chat/completions", call)
        for _ in range(_LOADS):
            if reply.status_code != 404 or name not in self._folders:
                break
            self.load_adapter(name, self._folders[name])
            reply = self._send("POST", "/chat/completions", call)
        if not reply.is_success:
            raise self._refused(reply, f"complete a prompt with {name!r}")
        return self._json(reply)

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

        vLLM does not say which it returns: `--logprobs-mode` is no part of any reply.
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
                raise self._unreadable(f"{type(exc).__name__}: {exc}") from exc
        return RAW if apart[1] > 0.75 * apart[0] else PROCESSED

    def _served(self) -> dict[str, str | None]:
        """The names that the server answers to, and the folder of each."""
        listed = self._json(self._send("GET", "/models"))
        try:
            return {card["id"]: card.get("root") for card in listed["data"]}
        except (LookupError, TypeError, AttributeError) as exc:
            raise self._unreadable(f"{type(exc).__name__}: {exc}") from exc

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> "httpx.Response":
        """The server's reply, whatever it is, once there is a server."""
        headers = {"authorization": f"Bearer {key}"} if (key := _api_key()) else {}
        deadline, wait = time.monotonic() + self.patience, _FIRST_WAIT_S
        while True:
            asked: float | None = None
            try:
                reply = self._httpx.request(
                    method, f"{self.base_url}{path}", json=body, headers=headers, timeout=self.timeout
                )
            except (self._httpx.NetworkError, self._httpx.RemoteProtocolError, self._httpx.ConnectTimeout) as exc:
                said = f"{type(exc).__name__}: {exc}"
            except (self._httpx.HTTPError, self._httpx.InvalidURL) as exc:
                raise ModelError(
                    f"the server at {self.base_url} failed a call ({type(exc).__name__}: {exc}); it may be silent for "
                    f"{self.timeout:g} s"
                ) from exc
            else:
                if reply.status_code not in {*_AWAY, _BUSY}:
                    return reply
                said = f"{reply.status_code}: {_message(reply)}"
                asked = _seconds(reply.headers.get("retry-after"))
            pause = wait if asked is None else asked
            if time.monotonic() + pause > deadline:
                raise ModelError(
                    f"the server at {self.base_url} is away or busy, waited for {self.patience:g} s ({said}); start it, "
                    "or be more patient"
                )
            time.sleep(pause)
            wait = min(2 * wait, _LONGEST_WAIT_S)

    def _json(self, reply: "httpx.Response") -> Any:
        try:
            return reply.json()
        except ValueError as exc:
            raise self._unreadable(str(exc)) from exc

    def _unreadable(self, why: str) -> ModelError:
        return ModelError(
            f"the reply of the server at {self.base_url} cannot be read ({why}); it must be vLLM's, of 0.11 or newer"
        )

    def _refused(self, reply: "httpx.Response", what: str) -> ModelError:
        advice = {
            401: "set VLLM_API_KEY or OPENAI_API_KEY to the server's key",
            404: "the base URL ends in /v1; adapters need --enable-lora, and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True to be loaded",
        }.get(reply.status_code, "look in the server's log")
        return ModelError(
            f"the server at {self.base_url} did not {what} ({reply.status_code}: {_message(reply)}); {advice}"
        )


def _api_key() -> str | None:
    return os.environ.get("VLLM_API_KEY") or os.environ.get("OPENAI_API_KEY")


def _token_ids(value: Any) -> list[int]:
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise TypeError(f"token ids are {type(value).__name__}")
    return value


def _message(reply: "httpx.Response") -> str:
    """What a refusal says: vLLM's, FastAPI's, or its bare text."""
    try:
        body = reply.json()
        said = body["error"]["message"] if "error" in body else body["detail"]
    except (ValueError, LookupError, TypeError):
        said = reply.text
    return str(said)[:300]


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header; a date is not understood, and the usual waiting does."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None
