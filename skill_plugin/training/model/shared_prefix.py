"""Attention over one prompt and all its candidates, in which the prompt is computed once.

A group of G candidates of C(1) ... C(G) tokens behind a prompt of P tokens is one row of L = P + C(1) + ... + C(G) tokens,

    [prompt | candidate 1 | candidate 2 | ...]

without padding: a candidate that ran away costs its own tokens and nothing of the others. Prompt tokens attend to the prompt,
a candidate's to the prompt and to itself, and positions count on from the prompt in each: the numbers are those of G rows of
prompt and candidate, for L tokens through the layers instead of L + (G - 1) P. It is what PrefixGrouper (arXiv:2506.05433) does,
written as calls of PyTorch's own attention, one for the prompt and one for each candidate: nothing to compile, no mask of
L x L, and ordinary autograd. In a layer that attends within a window of W tokens, a candidate's keys are the last W of prompt
and candidate.

The layout travels to each layer where a mask would: as the numbers P, C(1), ..., C(G) in a tensor of whole numbers of shape
[1, 1, 1, 1 + G]. It is an argument of the layer, so gradient checkpointing keeps it for the layer that it computes again in
backward, in whatever thread that happens and whatever was computed in between. A call without a layout is ordinary
attention, except while a shared forward pass is being watched: there it is an error, and so is a layer that attends by
other means.

Axes: B rows, H heads, L tokens, D dimensions of a head, K heads of keys and values, P prompt tokens, C tokens of one candidate, S
tokens of the prompt and one candidate that it sees, M = 1 + G numbers of a layout.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from skill_plugin.errors import ConfigurationError

NAME = "shared_prefix"

_LAYOUT = torch.int32
"""A mask is never of these."""


class PackedGroup(NamedTuple):
    """A group as one row; N is the number of all completion tokens, L = P + N.

    Args:
        ids_1_L: The tokens.
        positions_1_L: Position of each token behind its own prompt.
        layout_1_1_1_M: The mask argument of `attend`.
        predicts_N: Places in L where each completion token is predicted.
    """

    ids_1_L: Tensor
    positions_1_L: Tensor
    layout_1_1_1_M: Tensor
    predicts_N: Tensor


def pack(prompt_token_ids: Sequence[int], completions: Sequence[Sequence[int]], device: torch.device) -> PackedGroup:
    """Packs a prompt and its completions, all of them of one token or more, into one row."""
    prompt = len(prompt_token_ids)
    ids, positions = list(prompt_token_ids), list(range(prompt))
    predicts: list[int] = []
    for completion in completions:
        begin = len(ids)
        ids += completion
        positions += range(prompt, prompt + len(completion))
        # The prompt's last token predicts the first of every candidate.
        predicts += [prompt - 1, *range(begin, begin + len(completion) - 1)]
    return PackedGroup(
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        # On the processor: each layer reads it there, and a GPU would have to be waited for.
        torch.tensor([[[[prompt, *map(len, completions)]]]], dtype=_LAYOUT),
        torch.tensor(predicts, device=device),
    )


@dataclass
class Watch:
    """Record of a forward pass: how often `attend` was called with a layout."""

    calls: int = 0


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(model: Any) -> Iterator[None]:
    """Checks that each layer of `model` attends through `attend`, with a layout, in the forward pass inside.

    Raises:
        ConfigurationError: one does not; the log-probabilities would be wrong.
    """
    watch = Watch()
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)
    layers = model.config.get_text_config().num_hidden_layers
    if watch.calls != layers:
        raise ConfigurationError(
            f"{watch.calls} of the {layers} layers of {type(model).__name__} attend as a shared prompt needs it; use "
            "way='plain'"
        )


def install(model: Any) -> None:
    """Makes `attend` the attention of a transformers model. Calls without a layout stay PyTorch's own attention (`sdpa`)."""
    if model.config._attn_implementation != NAME:  # noqa: SLF001 - has no public name in transformers
        model.set_attn_implementation(NAME)


@contextmanager
def installed(model: Any) -> Iterator[None]:
    """Makes `attend` the attention of a transformers model for a while."""
    before = model.config._attn_implementation  # noqa: SLF001 - has no public name in transformers
    install(model)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Computes attention with a shared prompt; an attention function of transformers.

    Args:
        module: The layer's attention.
        query: Queries, shape [1, H, L, D].
        key: Keys, shape [1, K, L, D].
        value: Values, shape [1, K, L, D].
        attention_mask: The layout, whole numbers of shape [1, 1, 1, M]; anything else makes it an ordinary call.
        dropout: Drop-out of attention weights.
        scaling: Scale of the scores; None is `D ** -0.5`.
        options: Further arguments that the family passes to its attention.

    Returns:
        The output, shape [1, L, H, D], and None for the weights.

    Raises:
        ConfigurationError: in a shared forward pass, a layer without a layout, or one that attends in another way.
    """
    watch = _watch.get()
    if attention_mask is None or attention_mask.dtype != _LAYOUT:
        if watch is not None:
            raise ConfigurationError(
                f"{type(module).__name__} does not hand on the layout of a shared prompt; use way='plain'"
            )
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    prompt, *lengths = attention_mask.flatten().tolist()
    if watch is not None:
        watch.calls += 1
    unlike = [name for name in ("softcap", "s_aux", "position_bias") if options.get(name) is not None]
    if unlike or query.shape[:1] + query.shape[2:3] != (1, prompt + sum(lengths)):
        what = ", ".join(unlike) or f"queries of shape {tuple(query.shape)}"
        raise ConfigurationError(
            f"{type(module).__name__} attends with {what}, which no shared prompt can; use way='plain'"
        )
    window = options.get("sliding_window") or prompt + max(lengths)
    repeats = query.shape[1] // key.shape[1]
    q_1_H_P_D, k_1_K_P_D, v_1_K_P_D = (states[:, :, :prompt] for states in (query, key, value))
    sees_P_P = None if window >= prompt else _sees(prompt, 0, window, query.device)
    out = [
        scaled_dot_product_attention(
            q_1_H_P_D, k_1_K_P_D, v_1_K_P_D, attn_mask=sees_P_P, is_causal=sees_P_P is None, dropout_p=dropout, scale=scaling,
            enable_gqa=repeats > 1,
        )
    ]  # fmt: skip
    behind = min(prompt, window - 1)  # of the prompt, what the first token of a candidate sees
    shown = slice(prompt - behind, prompt)
    begin = prompt
    for length in lengths:
        own = slice(begin, begin := begin + length)
        # Query heads that share a head of keys are more rows of that head: with a mask, no kernel need copy the keys for them.
        out_1_K_RC_D = scaled_dot_product_attention(
            query[:, :, own].reshape(1, -1, repeats * length, query.shape[3]),
            torch.cat([key[:, :, shown], key[:, :, own]], dim=2),
            torch.cat([value[:, :, shown], value[:, :, own]], dim=2),
            attn_mask=_sees(length, behind, window, query.device).repeat(repeats, 1),
            dropout_p=dropout,
            scale=scaling,
        )
        out.append(out_1_K_RC_D.reshape(1, -1, length, value.shape[3]))
    return torch.cat(out, dim=2).transpose(1, 2).contiguous(), None


def _sees(length: int, behind: int, window: int, device: torch.device) -> Tensor:
    """Returns which keys each of `length` tokens sees that stand behind `behind` others, shape [C, S]: the last `window`."""
    sees_C_S = torch.ones(length, behind + length, dtype=torch.bool, device=device).tril(behind)
    return sees_C_S if window >= behind + length else sees_C_S.triu(behind - window + 1)


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
