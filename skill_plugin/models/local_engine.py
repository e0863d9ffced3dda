"""Calls of a model in this process, which run together as batches: one thread takes what waits, pads it and generates."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from skill_plugin.errors import ModelError
from skill_plugin.models.adapter_files import adapter_sha256
from skill_plugin.models.chat_templates import Message, prompt_text
from skill_plugin.models.loaded_model import FAST, load_model, placed, settled, with_adapter
from skill_plugin.models.local_calls import LocalCall, LocalReply, LocalSampling, fits
from skill_plugin.models.shared_beginning import SharedBeginning

if TYPE_CHECKING:
    from concurrent.futures import Future

    import torch
    from transformers import DynamicCache

_log = logging.getLogger(__name__)

JOIN_TOKENS = 128
"""Tokens after which a batch takes in calls that wait: what a text that does not end costs the others. Its prompts are read again then."""

_GATHER_S = 0.01
"""How long a batch waits for more calls before it begins; a token takes longer."""

_STOP_MARGIN = 8
"""Tokens that are read back beyond a stop string's length, because a letter may be made of several."""


class LocalEngine:
    """Runs calls of one model. Take it from `engine_of`, which loads a model once.

    Several threads may call. A call whose future is cancelled ends at its next token. `computing` is held while the model computes.
    """

    def __init__(
        self, path: str, *, device: str | None = None, dtype: str | None = None, adapter: Path | None = None
    ) -> None:
        loaded = load_model(path, device=device, dtype=dtype)
        self.loaded = placed(loaded if adapter is None else with_adapter(loaded, adapter))
        self.path = self.loaded.path
        self.computing = threading.Lock()
        self._beginning = SharedBeginning()
        self._shares_prompts = not getattr(self.loaded.model, "_is_stateful", False)
        self._said = f"the model {self.path!r} was interrupted; load it again"
        self._turn = threading.Lock()
        self._words = threading.Lock()  # a tokenizer is not safe for two threads
        self._waiting: list[LocalCall] = []
        self._is_at_work = False
        self._interrupted = False

    def submit(self, messages: Sequence[Message], sampling: LocalSampling) -> "Future[LocalReply]":
        """Begins a call, and returns its future.

        Raises:
            ModelError: the prompt does not fit the model's context, its template refuses it, or `interrupt` was called.
        """
        [future] = self.submit_ids(self.encode(messages), [sampling])
        return future

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Returns the token ids of messages under the model's chat template, up to where the answer begins."""
        tokenizer = self.loaded.tokenizer
        with self._words:
            ids = tokenizer(prompt_text(tokenizer, messages), add_special_tokens=False)["input_ids"]
        return [int(one) for one in ids]

    def count(self, text: str) -> int:
        """Returns how many tokens a text has."""
        with self._words:
            return len(self.loaded.tokenizer.encode(text, add_special_tokens=False))

    def submit_ids(self, ids: list[int], samplings: Sequence[LocalSampling]) -> "list[Future[LocalReply]]":
        """Begins a call for each of the settings, all of one prompt, which is read once; returns their futures. Raises as `submit`."""
        rows = [LocalCall(ids, one, self.loaded.room(len(ids), one.max_tokens)) for one in samplings]
        with self._turn:
            if self._interrupted:
                raise ModelError(self._said)
            self._waiting += rows
            if not self._is_at_work:
                self._is_at_work = True
                threading.Thread(target=self._work, name="skill-plugin local model").start()
        return [row.future for row in rows]

    def interrupt(self) -> None:
        """Ends all calls at their next token, and refuses further ones: for the end of a process."""
        with self._turn:
            self._interrupted = True

    def named(self, reply: LocalReply) -> list[dict[str, Any]]:
        """Returns each token of a reply with its log-probability, in the form of an OpenAI-compatible server."""
        with self._words:
            tokens = self.loaded.tokenizer.convert_ids_to_tokens(reply.token_ids)
        return [{"token": one, "logprob": logprob} for one, logprob in zip(tokens, reply.logprobs, strict=True)]

    def _work(self) -> None:
        """Runs batches until nothing waits. The next call starts a new thread, so an idle model keeps nothing alive."""
        while rows := self._next():
            try:
                with self.computing:
                    self._generate(rows)
                with self._turn:  # those that made room for others go on first
                    self._waiting[:0] = [row for row in rows if not row.is_over]
            except Exception as exc:  # noqa: BLE001 - out of memory, a model that cannot do this: each caller is told
                reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:300]
                for row in rows:
                    row.fail(f"the model {self.path!r} failed: {reason}; try shorter prompts, or look at its log")

    def _next(self) -> list[LocalCall]:
        time.sleep(_GATHER_S)
        with self._turn:
            taken: list[LocalCall] = []
            if self._interrupted:
                for row in self._waiting:
                    row.fail(self._said)
            waiting, self._waiting = [row for row in self._waiting if not row.is_over], []
            for row in waiting:
                (taken if fits(taken, row) else self._waiting).append(row)
            self._is_at_work = bool(taken)
        return taken

    def _generate(self, rows: list[LocalCall]) -> None:
        import torch  # noqa: PLC0415
        from transformers import LogitsProcessorList, StoppingCriteriaList  # noqa: PLC0415

        model, device = self.loaded.model, self.loaded.device
        texts = [(*row.prompt, *row.ids) for row in rows]
        each = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        widest = max(map(len, each))
        place_n = torch.tensor([each[text] for text in texts], device=device)
        with torch.inference_mode():
            cache, shared = self._begin(list(each))
            ids_u_T = torch.full((len(each), widest), model.generation_config.pad_token_id, device=device)  # noqa: N806
            mask_u_T = torch.zeros_like(ids_u_T)  # noqa: N806
            for place, text in enumerate(each):  # what fills up a row stands behind what all begin with
                for where, part in (
                    (slice(shared), text[:shared]),
                    (slice(widest - len(text) + shared, widest), text[shared:]),
                ):
                    ids_u_T[place, where] = torch.tensor(part, dtype=torch.long)
                    mask_u_T[place, where] = 1
            read = self._read_once(ids_u_T, mask_u_T, place_n, cache, shared) if cache is not None else {}
            model.generate(
                input_ids=ids_u_T[place_n],
                attention_mask=mask_u_T[place_n],
                max_new_tokens=max(row.room - len(row.ids) for row in rows),
                do_sample=False,
                logits_processor=LogitsProcessorList([lambda _, scores: self._draw(rows, scores)]),
                stopping_criteria=StoppingCriteriaList([lambda ids, _: self._ended(rows, ids, widest)]),
                **read,
            )

    def _begin(self, prompts: list[tuple[int, ...]]) -> "tuple[DynamicCache | None, int]":
        """Returns what is read of all prompts of a batch, and how many tokens that is; None where the model cannot."""
        if not self._shares_prompts or min(map(len, prompts)) < 2:  # one to read, one to begin from
            return None, 0
        try:
            return self._beginning.read(self.loaded.model, prompts)
        except Exception as exc:  # noqa: BLE001
            self._reads_each(exc)
            return None, 0

    def _read_once(
        self,
        ids_u_T: "torch.Tensor",  # noqa: N803
        mask_u_T: "torch.Tensor",  # noqa: N803
        place_n: "torch.Tensor",
        cache: "DynamicCache",
        shared: int,
    ) -> dict[str, Any]:
        """Reads each prompt of a batch once, all but its last token, for all of its calls; empty where the model cannot."""
        prompts, tokens = ids_u_T.shape
        try:
            if shared < tokens - 1:
                self.loaded.model(
                    input_ids=ids_u_T[:, shared:-1],
                    attention_mask=mask_u_T[:, :-1],
                    position_ids=(mask_u_T[:, :-1].cumsum(-1) - 1).clamp(min=0)[:, shared:],
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            if prompts == 1:
                self._beginning.keep(ids_u_T[0, :-1].tolist(), cache)
            cache.batch_select_indices(place_n)
        except Exception as exc:  # noqa: BLE001
            self._reads_each(exc)
            return {}
        return {"past_key_values": cache}

    def _reads_each(self, exc: Exception) -> None:
        """Notes that a model is of its own kind: its prompts are read as often as they are asked."""
        self._shares_prompts = False
        _log.info("prompts of %s are not shared: %s", self.path, " ".join(str(exc).split())[:200])

    def _draw(self, rows: list[LocalCall], scores_n_V: "torch.Tensor") -> "torch.Tensor":  # noqa: N803
        """Draws each row's next token by its own settings; returns scores that leave no other choice."""
        import torch  # noqa: PLC0415

        heat_n_1 = torch.tensor([[row.sampling.temperature or 1.0] for row in rows], device=scores_n_V.device)
        logprobs_n_V = (scores_n_V.float() / heat_n_1).log_softmax(-1)  # noqa: N806
        chosen = logprobs_n_V.argmax(-1)
        for place, row in enumerate(rows):
            if row.is_over:
                continue
            logprobs_V = logprobs_n_V[place]  # noqa: N806
            if row.sampling.temperature:
                logprobs_V = _nucleus(logprobs_V, row.sampling.top_p)  # noqa: N806
                mass_V = logprobs_V.double().exp().cumsum(-1)  # noqa: N806
                drawn = mass_V[-1:] * row.random()
                chosen[place] = torch.searchsorted(mass_V, drawn, right=True).clamp(max=len(mass_V) - 1)[0]
            row.ids.append(int(chosen[place]))
            row.logprobs.append(float(logprobs_V[chosen[place]]))
        return torch.full_like(scores_n_V, -torch.inf).scatter_(1, chosen[:, None], 0.0)

    def _ended(self, rows: list[LocalCall], ids_n_T: "torch.Tensor", began: int) -> "torch.Tensor":  # noqa: N803
        """Answers the calls whose last token this was; returns which rows need no further one, or none where others are to join."""
        import torch  # noqa: PLC0415

        for row in rows:
            if self._interrupted:
                row.fail(self._said)
            if not row.is_over:
                self._look(row)
        is_old = ids_n_T.shape[1] - began >= JOIN_TOKENS and self._others_fit([row for row in rows if not row.is_over])
        return torch.tensor([is_old or row.is_over for row in rows], device=ids_n_T.device)

    def _others_fit(self, rows: list[LocalCall]) -> bool:
        with self._turn:
            return any(fits(rows, row) for row in self._waiting if not row.is_over)

    def _look(self, row: LocalCall) -> None:
        is_end = row.ids[-1] in self.loaded.ends
        stopped = self._before_stop(row)
        if is_end or stopped is not None or len(row.ids) >= row.room:
            text = self._decoded(row.ids) if stopped is None else stopped
            row.answer(text, "stop" if is_end or stopped is not None else "length")

    def _before_stop(self, row: LocalCall) -> str | None:
        """Returns the text before the first stop string; None if there is none in it."""
        stops = row.sampling.stop
        if not stops:
            return None
        tail = self._decoded(row.ids[-(max(map(len, stops)) * 4 + _STOP_MARGIN) :])
        if not any(stop in tail for stop in stops):
            return None
        text = self._decoded(row.ids)
        places = [place for stop in stops if (place := text.find(stop)) >= 0]
        return text[: min(places)] if places else None

    def _decoded(self, ids: list[int]) -> str:
        with self._words:
            text: str = self.loaded.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def _nucleus(logprobs_V: "torch.Tensor", top_p: float) -> "torch.Tensor":  # noqa: N803
    """Cuts a distribution to the smallest set of likeliest tokens whose mass reaches `top_p`, normalised (arXiv:1904.09751)."""
    import torch  # noqa: PLC0415

    if top_p >= 1:
        return logprobs_V
    sorted_V, order_V = logprobs_V.sort(descending=True)  # noqa: N806
    mass_V = sorted_V.exp().cumsum(-1) - sorted_V.exp()  # noqa: N806
    left_V = logprobs_V.index_fill(0, order_V[mass_V >= top_p], -torch.inf)  # noqa: N806
    return left_V.log_softmax(-1)


async def replies(begin: "Callable[[], list[Future[LocalReply]]]") -> list[LocalReply]:
    """Begins calls in a thread and returns their replies; to cancel this ends them at their next token."""
    begun = asyncio.ensure_future(asyncio.to_thread(begin))
    try:
        return await asyncio.gather(*map(asyncio.wrap_future, await asyncio.shield(begun)))
    finally:
        begun.add_done_callback(_end)


def _end(begun: "asyncio.Future[list[Future[LocalReply]]]") -> None:
    if not begun.cancelled() and begun.exception() is None:
        for future in begun.result():
            future.cancel()  # one that has its result stays as it is


_engines: WeakValueDictionary[tuple[str | None, ...], LocalEngine] = WeakValueDictionary()
_loading = threading.Lock()


def engine_of(
    path: str | Path, *, device: str | None = None, dtype: str | None = FAST, adapter: Path | None = None
) -> LocalEngine:
    """Returns the engine of a model with or without an adapter, which is loaded once as long as somebody uses it.

    See `load_model` for the arguments.
    """
    path, device, dtype = settled(path, device=device, dtype=dtype)
    key = (path, device, dtype, None if adapter is None else adapter_sha256(adapter))
    with _loading:
        if (found := _engines.get(key)) is None or found._interrupted:  # noqa: SLF001
            found = _engines[key] = LocalEngine(path, device=device, dtype=dtype, adapter=adapter)
    return found


def interrupt_all() -> None:
    """Interrupts every engine of this process."""
    for engine in list(_engines.values()):
        engine.interrupt()
