"""Token ids -> log-probabilities with a graph, of a group's candidates behind their prompt.

`shared` computes the prompt once for all of them, `plain` once a row. Both keep the logits of `head_chunk` tokens in memory at a
time and compute them again in backward: a group's logits would be its largest tensor.

Axes: N completion tokens of the candidates one after the other, n of them at a time, B rows, T tokens of a row, E dimensions
of a hidden state, V tokens of the vocabulary.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skill_plugin.errors import ConfigurationError
from skill_plugin.training import shared_prefix
from skill_plugin.training.groups import Group

logger = logging.getLogger(__name__)

Chosen = Literal["shared", "plain"]


class Scorer(nn.Module):
    """Log-probabilities of completions. What a trainer wraps, prepares and calls.

    With `shared` the model keeps the attention of `shared_prefix` from the first call on; calls that are not a scorer's are
    ordinary ones to it. Adapters are the caller's to switch (`with model.disable_adapter():`).

    Args:
        model: A causal language model of transformers, with or without PEFT adapters.
        way: See `choose_way`.
        head_chunk: Tokens whose logits are in memory at a time.

    Raises:
        ConfigurationError: the model has an adapter that is none of weights (prompt tuning), which would not be seen.
    """

    def __init__(self, model: nn.Module, *, way: Chosen, head_chunk: int = 1024) -> None:
        super().__init__()
        self.model, self.way, self.head_chunk = model, way, head_chunk
        if any(config.is_prompt_learning for config in getattr(model, "peft_config", {}).values()):
            raise ConfigurationError("the model has an adapter that is a prompt; train a LoRA adapter")

    def forward(self, prompt_ids: Sequence[int], completions: Sequence[Sequence[int]], temperature: float) -> Tensor:
        """Of all completion tokens, candidates one after the other, shape [N], float32, in nats, of logits / temperature.

        One forward pass of the model.

        Raises:
            ConfigurationError: the prompt or a completion has no tokens, the temperature is not above 0, or the way is
                `shared` and wrong for the model.
        """
        if not prompt_ids or not completions or not all(completions):
            raise ConfigurationError("a group has a prompt or a candidate of 0 tokens; leave it out")
        if not 0 < temperature < float("inf"):
            raise ConfigurationError(f"the temperature is {temperature!r}; log-probabilities need one above 0")
        causal = _causal(self.model)
        outputs, hidden_N_E = (_shared if self.way == "shared" else _plain)(causal, prompt_ids, completions)
        logits = _head(causal, outputs)

        def score(hidden_n_E: Tensor, chosen_n: Tensor) -> Tensor:
            logits_n_V = logits(hidden_n_E).float()
            if temperature != 1:
                logits_n_V = logits_n_V / temperature
            return logits_n_V.gather(1, chosen_n[:, None])[:, 0] - logits_n_V.logsumexp(1)

        chosen_N = torch.tensor([token for completion in completions for token in completion], device=hidden_N_E.device)
        chunks = zip(hidden_N_E.split(self.head_chunk), chosen_N.split(self.head_chunk), strict=True)
        return torch.cat([checkpoint(score, *chunk, use_reentrant=False) for chunk in chunks])


def batches(group: Group, way: Chosen, rows: int) -> Iterator[list[int]]:
    """Which of a group's candidates go into each call of a scorer: all with `shared`, `rows` of them with `plain`."""
    count = len(group.candidates)
    at_once = max(count, 1) if way == "shared" else rows
    return (list(range(begin, min(begin + at_once, count))) for begin in range(0, count, at_once))


def _causal(model: Any) -> Any:
    """The model of transformers that adapters were put into."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _shared(causal: Any, prompt_ids: Sequence[int], completions: Sequence[Sequence[int]]) -> tuple[Any, Tensor]:
    shared_prefix.install(causal)
    ids_1_L, positions_1_L, layout_P_G_C_0, predicts_N = shared_prefix.pack(prompt_ids, completions, causal.device)
    with shared_prefix.watched(causal):
        outputs = causal.base_model(
            input_ids=ids_1_L, attention_mask=layout_P_G_C_0, position_ids=positions_1_L, use_cache=False
        )
    return outputs, outputs[0][0, predicts_N]


def _plain(causal: Any, prompt_ids: Sequence[int], completions: Sequence[Sequence[int]]) -> tuple[Any, Tensor]:
    longest = max(map(len, completions))
    ids, mask, rows, predicts = [], [], [], []
    for row, completion in enumerate(completions):
        padding = longest - len(completion)
        ids.append([*prompt_ids, *completion, *[prompt_ids[0]] * padding])
        mask.append([1] * (len(ids[0]) - padding) + [0] * padding)
        rows += [row] * len(completion)
        predicts += range(len(prompt_ids) - 1, len(prompt_ids) - 1 + len(completion))
    ids_B_T = torch.tensor(ids, device=causal.device)
    outputs = causal.base_model(
        input_ids=ids_B_T,
        attention_mask=torch.tensor(mask, device=causal.device),
        position_ids=torch.arange(ids_B_T.shape[1], device=causal.device).expand_as(ids_B_T),
        use_cache=False,
    )
    return outputs, outputs[0][rows, predicts]


class _Given:
    """Stands for the body of a causal language model, and answers what the body answered, for other hidden states."""

    def __init__(self, body: nn.Module, outputs: Any) -> None:
        self._body, self._outputs = body, outputs

    def __call__(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Any:
        return type(self._outputs)(**{**self._outputs, "last_hidden_state": inputs_embeds})

    def __getattr__(self, name: str) -> Any:
        return self if name == "decoder" else getattr(self._body, name)  # OPT calls its body's decoder


def _head(causal: Any, outputs: Any) -> Callable[[Tensor], Tensor]:
    """What a causal language model makes of its body's hidden states, [n, E] -> [n, V].

    It is the family's own forward pass over a body that is done, so whatever it does with logits (scale them, cap them, adapt
    the head) is done here too.
    """
    head = object.__new__(type(causal))
    body = {causal.base_model_prefix: _Given(causal.base_model, outputs)}
    vars(head).update(vars(causal), _modules={**causal._modules, **body})  # noqa: SLF001 - PyTorch documents it nowhere else

    def logits(hidden_n_E: Tensor) -> Tensor:
        # By the class: a wrapped `forward` of the instance would be that of the whole model.
        found: Tensor = type(causal).forward(head, inputs_embeds=hidden_n_E[None]).logits[0]
        return found

    return logits
