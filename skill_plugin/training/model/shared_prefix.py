"""Attention over one prompt and all its candidates, in which the prompt is computed once.

A group of G candidates of up to C tokens behind a prompt of P tokens is one row of L = P + G * C tokens,

    [prompt | candidate 0 | candidate 1 | ...]

each candidate padded on its right to the longest. Prompt tokens attend to the prompt, a candidate's to the prompt and to
itself, and positions count on from the prompt in each: the numbers are those of G rows of prompt and candidate, for P + G * C
tokens through the layers instead of G * (P + C). It is what PrefixGrouper (arXiv:2506.05433) does, written as two calls of
PyTorch's own attention: nothing to compile, no mask of L x L, and ordinary autograd.

The layout travels to each layer where a mask would: as a tensor of shape [P, G, C, 0], which is empty: its shape is the
layout. It is an argument of the layer, so gradient checkpointing keeps it for the layer that it computes again in
backward, in whatever thread that happens and whatever was computed in between. A call without a layout is ordinary
attention, except while a shared forward pass is being watched: there it is an error, and so is a layer that attends by
other means.

Axes: B rows, H heads, L tokens, D dimensions of a head, K heads of keys and values, P prompt tokens, G candidates of C
tokens.
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


class PackedGroup(NamedTuple):
    """A group as one row; N is the number of all completion tokens, L = P + G * C.

    Args:
        ids_1_L: The tokens.
        positions_1_L: Position of each token behind its own prompt.
        layout_P_G_C_0: The mask argument of `attend`.
        predicts_N: Places in L where each completion token is predicted.
    """

    ids_1_L: Tensor
    positions_1_L: Tensor
    layout_P_G_C_0: Tensor
    predicts_N: Tensor


def pack(prompt_token_ids: Sequence[int], completions: Sequence[Sequence[int]], device: torch.device) -> PackedGroup:
    """Packs a prompt and its completions, all of them of one token or more, into one row."""
    prompt, length = len(prompt_token_ids), max(map(len, completions))
    ids, positions = list(prompt_token_ids), list(range(prompt))
    predicts: list[int] = []
    for completion in completions:
        begin = len(ids)
        ids += [
            *completion,
            *[prompt_token_ids[0]] * (length - len(completion)),
        ]  # tokens behind a token do not reach it
        positions += range(prompt, prompt + length)
        # The prompt's last token predicts the first of every candidate.
        predicts += [prompt - 1, *range(begin, begin + len(completion) - 1)]
    return PackedGroup(
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        torch.empty((prompt, len(completions), length, 0), device=device),
        torch.tensor(predicts, device=device),
    )


@dataclass
class Watch:
    """Record of a forward pass.

    Args:
        longest: Tokens that each layer must attend over, if only in later passes.
        calls: How often `attend` was called with a layout.
    """

    longest: int = 0
    calls: int = 0


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(model: Any, longest: int = 0) -> Iterator[None]:
    """Checks that each layer of `model` attends through `attend`, with a layout, in the forward pass inside.

    Raises:
        ConfigurationError: one does not; the log-probabilities would be wrong.
    """
    watch = Watch(longest)
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
        attention_mask: The layout, shape [P, G, C, 0]; anything else makes it an ordinary call.
        dropout: Drop-out of attention weights.
        scaling: Scale of the scores; None is `D ** -0.5`.
        options: Further arguments that the family passes to its attention.

    Returns:
        The output, shape [1, L, H, D], and None for the weights.

    Raises:
        ConfigurationError: in a shared forward pass, a layer without a layout, or one that attends in another way.
    """
    watch = _watch.get()
    if attention_mask is None or attention_mask.ndim != 4 or attention_mask.shape[3]:
        if watch is not None:
            raise ConfigurationError(
                f"{type(module).__name__} does not hand on the layout of a shared prompt; use way='plain'"
            )
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    prompt, candidates, length, _ = attention_mask.shape
    reach = prompt + length
    if watch is not None:
        watch.calls += 1
        reach = max(reach, watch.longest)
    unlike = [name for name in ("softcap", "s_aux", "position_bias") if options.get(name) is not None]
    if (window := options.get("sliding_window")) and window < reach:
        unlike.append(f"a window of {window} tokens over {reach}")
    if unlike or query.shape[:1] + query.shape[2:3] != (1, prompt + candidates * length):
        what = ", ".join(unlike) or f"queries of shape {tuple(query.shape)}"
        raise ConfigurationError(
            f"{type(module).__name__} attends with {what}, which no shared prompt can; use way='plain'"
        )

    def apart(states_1_H_L_D: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the prompt's states, shape [1, H, P, D], and the candidates', shape [G, H, C, D]."""
        rest_H_G_C_D = states_1_H_L_D[0, :, prompt:].reshape(-1, candidates, length, states_1_H_L_D.shape[3])
        return states_1_H_L_D[:, :, :prompt], rest_H_G_C_D.transpose(0, 1)

    (q_1_H_P_D, q_G_H_C_D), (k_1_K_P_D, k_G_K_C_D), (v_1_K_P_D, v_G_K_C_D) = apart(query), apart(key), apart(value)
    repeats = query.shape[1] // key.shape[1]
    prompts = scaled_dot_product_attention(
        q_1_H_P_D, k_1_K_P_D, v_1_K_P_D, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=repeats > 1
    )
    # Query heads that share a head of keys are more rows of that head: with a mask, no kernel need copy the keys for them.
    sees_C_S = torch.ones(length, prompt + length, dtype=torch.bool, device=query.device).tril(prompt)
    out_G_K_RC_D = scaled_dot_product_attention(
        q_G_H_C_D.reshape(candidates, -1, repeats * length, query.shape[3]),
        torch.cat([k_1_K_P_D.expand(candidates, -1, -1, -1), k_G_K_C_D], dim=2),
        torch.cat([v_1_K_P_D.expand(candidates, -1, -1, -1), v_G_K_C_D], dim=2),
        attn_mask=sees_C_S.repeat(repeats, 1),
        dropout_p=dropout,
        scale=scaling,
    )
    out_G_H_C_D = out_G_K_RC_D.reshape(candidates, -1, length, value.shape[3])
    out_1_H_GC_D = out_G_H_C_D.transpose(0, 1).flatten(1, 2)[None]
    return torch.cat([prompts, out_1_H_GC_D], dim=2).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
