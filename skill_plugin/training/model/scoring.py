"""Computes log-probabilities with a graph from token ids, of a group's candidates behind their prompt.

`shared` computes the prompt once for all of them, `plain` once a row. Both keep the logits of `head_chunk` tokens in memory at a
time and compute them again in backward: a group's logits would be its largest tensor.

Axes: N completion tokens of the candidates one after the other, n of them at a time, B rows, T tokens of a row, E dimensions
of a hidden state, V tokens of the vocabulary.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from itertools import cycle
from typing import Any, Literal, NamedTuple
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.data.groups import Group
from skill_plugin.training.model import shared_prefix
from skill_plugin.training.settings import Way

logger = logging.getLogger(__name__)

Chosen = Literal["shared", "plain"]


class Scorer(nn.Module):
    """Computes log-probabilities of completions; a trainer wraps, prepares and calls it.

    With `shared` the model keeps the attention of `shared_prefix` from the first call on; other calls than a scorer's
    are ordinary ones to it. Adapters are the caller's to switch (`with model.disable_adapter():`).

    Args:
        model: A causal language model of transformers, with or without PEFT adapters.
        way: See `choose_way`.
        head_chunk: Tokens whose logits are in memory at a time.

    Raises:
        ConfigurationError: the model has an adapter that is not one of weights (prompt tuning), which would not be seen.
    """

    def __init__(self, model: nn.Module, *, way: Chosen, head_chunk: int = 1024) -> None:
        super().__init__()
        self.model, self.way, self.head_chunk = model, way, head_chunk
        if any(config.is_prompt_learning for config in getattr(model, "peft_config", {}).values()):
            raise ConfigurationError("the model has an adapter that is a prompt; train a LoRA adapter")

    def forward(
        self, prompt_token_ids: Sequence[int], completions: Sequence[Sequence[int]], temperature: float
    ) -> Tensor:
        """Returns log-probabilities of all completion tokens, candidate after candidate, shape [N], float32, in nats.

        They are of logits / temperature, by one forward pass of the model.

        Raises:
            ConfigurationError: the prompt or a completion has no tokens, the temperature is not above 0, or the way is
                `shared` and wrong for the model.
        """
        if not prompt_token_ids or not completions or not all(completions):
            raise ConfigurationError("a group has a prompt or a candidate of 0 tokens; leave it out")
        if not 0 < temperature < float("inf"):
            raise ConfigurationError(f"the temperature is {temperature!r}; log-probabilities need one above 0")
        causal = _causal(self.model)
        if self.way == "shared":
            outputs, hidden_N_E = _shared(causal, prompt_token_ids, completions)
        else:
            outputs, hidden_N_E = _plain(causal, prompt_token_ids, completions)
        logits = _head(causal, outputs)

        def score(hidden_n_E: Tensor, chosen_n: Tensor) -> Tensor:
            logits_n_V = logits(hidden_n_E).float()
            if temperature != 1:
                logits_n_V = logits_n_V / temperature
            return logits_n_V.gather(1, chosen_n[:, None])[:, 0] - logits_n_V.logsumexp(1)

        chosen_N = torch.tensor([token for completion in completions for token in completion], device=hidden_N_E.device)
        chunks = [slice(begin, begin + self.head_chunk) for begin in range(0, len(chosen_N), self.head_chunk)]
        return torch.cat([checkpoint(score, hidden_N_E[n], chosen_N[n], use_reentrant=False) for n in chunks])


def batches(group: Group, way: Chosen, rows: int) -> Iterator[list[int]]:
    """Yields a group's candidates for each call of a scorer: all with `shared`, `rows` of them with `plain`."""
    count = len(group.candidates)
    at_once = max(count, 1) if way == "shared" else rows
    return (list(range(begin, min(begin + at_once, count))) for begin in range(0, count, at_once))


def choose_way(model: nn.Module, wanted: Way, sample: Group, *, longest: int | None = None) -> tuple[Chosen, str]:
    """Returns the way to compute a model's groups, and why. Computes a few small rows; call it before the first step.

    A prompt may be shared where (1) every layer attends with the layout, (2) another last token of one candidate does not move
    the log-probabilities of the others by one bit, and (3) log-probabilities are those of the model's own forward pass over
    single rows. That leaves out soft-capped scores, attention sinks, and layers that are recurrent or convolutions. `auto` then warns, once a model, and takes `plain`.

    Args:
        model: The model for a `Scorer`, before it is wrapped.
        wanted: The way to use; `auto` is `shared` if that is right for the model.
        sample: A group; its token ids are used.
        longest: Tokens of the longest prompt with a completion that there will be, for a model that attends within a window; None is
            the sample's.

    Raises:
        ConfigurationError: `shared` is wanted and wrong, or even `plain` is wrong for the model's family.
    """
    causal = _causal(model)
    if longest is None:
        longest = len(sample.prompt_token_ids) + max(
            (len(one.completion_token_ids) for one in sample.candidates), default=0
        )
    with _evaluating(model), torch.no_grad():
        probe = _probe(causal, sample, longest)
        plain_N = Scorer(model, way="plain")(probe.prompt_token_ids, probe.completions, 1.0)
        exact = causal.dtype in EXACT
        # Rounding can send a few tokens to another expert of a mixture; a wrong head is wrong about most.
        if not (off := float((plain_N - probe.truth_N).abs().median())) <= (1e-3 if exact else 0.5):
            raise ConfigurationError(
                f"log-probabilities of {type(causal).__name__} come out {off:.2g} nats off those of its own forward pass; "
                "train a model of another family, such as Qwen3"
            )
        if wanted == "plain":
            return "plain", "asked for"
        # Plain rows are off by rounding; the rest is for a model whose plain rows happen not to be off.
        rounding = float((plain_N - probe.truth_N).abs().max())
        allowed = 5e-5 + 4 * rounding if exact else min(0.1 + 4 * rounding, 0.5)
        wrong = _wrong_if_shared(model, probe, allowed)
    if wrong is None:
        return "shared", "every layer has the layout, candidates do not see each other, and single rows give the same"
    if wanted == "shared":
        raise ConfigurationError(
            f"{type(causal).__name__} cannot share a prompt: {wrong}; use way='auto' or way='plain'"
        )
    if causal not in _warned:
        _warned.add(causal)
        logger.warning(
            "%s cannot share a prompt: %s. Each candidate computes the prompt again, which takes several times as long.",
            type(causal).__name__,
            wrong,
        )
    return "plain", wrong


EXACT = {torch.float64, torch.float32}
ATTENTION = {"full_attention", "sliding_attention"}
_warned: WeakSet[nn.Module] = WeakSet()


class _Probe(NamedTuple):
    """A small group, its log-probabilities, and a token to put in place of the first candidate's last."""

    prompt_token_ids: list[int]
    completions: list[list[int]]
    other: int
    truth_N: Tensor


def _probe(causal: Any, sample: Group, longest: int) -> _Probe:
    tokens = [*sample.prompt_token_ids, *(token for one in sample.candidates for token in one.completion_token_ids)]
    if not tokens:
        raise ConfigurationError(f"group {sample.id!r} has no tokens; leave it out")
    # Different tokens, so that one at a wrong place shows. The first candidate is the longest: it ends where the next
    # one begins, and hands on whatever leaks.
    ids = cycle(dict.fromkeys([*tokens, 0, 1]))
    window = getattr(causal.config.get_text_config(), "sliding_window", None)
    prompt = window + 4 if window and window < longest else 40  # a window that will matter has to be seen at work
    prompt_token_ids, *completions = ([next(ids) for _ in range(length)] for length in (prompt, 12, 7, 3))
    # One row at a time, without padding, through the model as it is: with as little code of this file as possible.
    truth = []
    for completion in completions:
        logits_1_T_V = causal(
            input_ids=torch.tensor([[*prompt_token_ids, *completion]], device=causal.device), use_cache=False
        ).logits
        logprobs_n_V = logits_1_T_V[0, len(prompt_token_ids) - 1 : -1].float().log_softmax(1)
        truth.append(logprobs_n_V[range(len(completion)), completion])
    other = next(token for token in ids if token != completions[0][-1])
    return _Probe(prompt_token_ids, completions, other, torch.cat(truth))


def _wrong_if_shared(model: nn.Module, probe: _Probe, allowed: float) -> str | None:
    """Returns why a prompt cannot be shared, or None."""
    causal, scorer = _causal(model), Scorer(model, way="shared")
    kinds = set(getattr(causal.config.get_text_config(), "layer_types", None) or ATTENTION)
    if unlike := kinds - ATTENTION:
        return f"it has layers of {', '.join(sorted(unlike))}"
    prompt_token_ids, completions, other, truth_N = probe
    first = completions[0]
    with shared_prefix.installed(causal):
        try:
            found_N = scorer(prompt_token_ids, completions, 1.0)
        except Exception as exc:  # noqa: BLE001 - a family that knows no layout may fail in any way of its own
            return str(exc).partition(";")[0]
        moved_N = scorer(prompt_token_ids, [[*first[:-1], other], *completions[1:]], 1.0)
    if not torch.equal(found_N[len(first) :], moved_N[len(first) :]):
        return "a candidate's tokens move the log-probabilities of the others"
    apart = float((found_N - truth_N).abs().max())
    return None if apart <= allowed else f"log-probabilities are {apart:.2g} nats off those of single rows"


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Turns drop-out off for a while; each module is restored afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _causal(model: Any) -> Any:
    """Returns the model of transformers that adapters were put into."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _body(causal: Any) -> str:
    """Returns the name of the model's body; Gemma 3 of transformers 4.57 has a prefix that does not exist."""
    prefix: str = causal.base_model_prefix
    return prefix if hasattr(causal, prefix) else "model"


def _shared(causal: Any, prompt_token_ids: Sequence[int], completions: Sequence[Sequence[int]]) -> tuple[Any, Tensor]:
    shared_prefix.install(causal)
    ids_1_L, positions_1_L, layout_1_1_1_M, predicts_N = shared_prefix.pack(
        prompt_token_ids, completions, causal.device
    )
    with shared_prefix.watched(causal):
        outputs = getattr(causal, _body(causal))(
            input_ids=ids_1_L, attention_mask=layout_1_1_1_M, position_ids=positions_1_L, use_cache=False
        )
    return outputs, outputs[0][0, predicts_N]


def _plain(causal: Any, prompt_token_ids: Sequence[int], completions: Sequence[Sequence[int]]) -> tuple[Any, Tensor]:
    longest = max(map(len, completions))
    ids: list[list[int]] = []
    mask: list[list[int]] = []
    rows: list[int] = []
    predicts: list[int] = []
    for row, completion in enumerate(completions):
        padding = longest - len(completion)
        ids.append([*prompt_token_ids, *completion, *[prompt_token_ids[0]] * padding])
        mask.append([1] * (len(ids[0]) - padding) + [0] * padding)
        rows += [row] * len(completion)
        predicts += range(len(prompt_token_ids) - 1, len(prompt_token_ids) - 1 + len(completion))
    ids_B_T = torch.tensor(ids, device=causal.device)
    positions = {"position_ids": torch.arange(ids_B_T.shape[1], device=causal.device).expand_as(ids_B_T)}
    if "position_ids" not in signature(type(getattr(causal, _body(causal))).forward).parameters:
        positions = {}
    outputs = getattr(causal, _body(causal))(
        input_ids=ids_B_T, attention_mask=torch.tensor(mask, device=causal.device), use_cache=False, **positions
    )
    return outputs, outputs[0][rows, predicts]


class _FixedBody:
    """Stands for the body of a causal language model, and answers what the body answered, for other hidden states."""

    def __init__(self, body: nn.Module, outputs: Any) -> None:
        self._body, self._outputs = body, outputs

    def __call__(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Any:
        return type(self._outputs)(**{**self._outputs, "last_hidden_state": inputs_embeds})

    def __getattr__(self, name: str) -> Any:
        return self if name == "decoder" else getattr(self._body, name)  # OPT calls its body's decoder


def _head(causal: Any, outputs: Any) -> Callable[[Tensor], Tensor]:
    """Returns a function from the body's hidden states to logits, [n, E] -> [n, V].

    It is the family's own forward pass over a body that is done, so whatever it does with logits (scale them, cap them, adapt
    the head) is done here too.
    """
    head = object.__new__(type(causal))
    name = _body(causal)
    body = {name: _FixedBody(getattr(causal, name), outputs)}
    vars(head).update(vars(causal), _modules={**causal._modules, **body})  # noqa: SLF001 - PyTorch documents it nowhere else

    def logits(hidden_n_E: Tensor) -> Tensor:
        # By the class: a wrapped `forward` of the instance would be that of the whole model.
        found: Tensor = type(causal).forward(head, inputs_embeds=hidden_n_E[None]).logits[0]
        return found

    return logits
