"""The beginning that prompts have in common, read once and kept: a generator's instructions are the same in each of its prompts.

What a server calls prefix caching (vLLM's automatic prefix caching, SGLang's RadixAttention, arXiv:2312.07104), for one beginning at a time.
"""

import copy
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import DynamicCache

LEAST_TOKENS = 32
"""A shorter beginning is read again: to copy what is kept costs more."""

MOST_TOKENS = 4096
"""A longer beginning is kept up to here, for it takes memory while nothing runs: 13 kilobytes a token in a model of 135 million
weights, 130 in one of 8 billion."""


class SharedBeginning:
    """Keeps the keys and values of one beginning, in a model whose layers attend to everything before; else nothing.

    Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._ids: tuple[int, ...] = ()
        self._cache: DynamicCache | None = None

    def read(self, model: Any, prompts: Sequence[Sequence[int]]) -> "tuple[DynamicCache, int]":
        """Returns a cache with a row for each prompt that holds the tokens which all begin with, and how many these are, 0 to all but one.

        Of a single prompt it holds what is kept already, because nobody knows yet how much of the rest the next one shares.

        Args:
            model: The model.
            prompts: Token ids, no prompt twice.
        """
        import torch  # noqa: PLC0415
        from transformers import DynamicCache  # noqa: PLC0415

        among = min(*map(len, prompts), MOST_TOKENS + 1) - 1
        for other in prompts[1:]:
            among = _common(prompts[0][:among], other)
        kept = _common(self._ids, prompts[0][:among])
        if (among if len(prompts) > 1 else kept) < LEAST_TOKENS:
            return DynamicCache(config=model.config), 0
        cache = copy.deepcopy(self._cache) if self._cache is not None and kept else DynamicCache(config=model.config)
        if kept:
            _crop(cache, len(self._ids) - kept)
        if len(prompts) > 1 and kept < among:
            rest = torch.tensor([prompts[0][kept:among]], device=model.device)
            places = torch.arange(kept, among, device=model.device)[None]
            model(input_ids=rest, position_ids=places, past_key_values=cache, use_cache=True, logits_to_keep=1)
            if not self.keep(prompts[0][:among], cache):
                return DynamicCache(config=model.config), 0
            kept = among
        cache.batch_repeat_interleave(len(prompts))
        return cache, kept

    def keep(self, ids: Sequence[int], cache: "DynamicCache") -> bool:
        """Keeps a copy of a cache with one row, which holds these tokens; returns False for one whose layers do not allow that."""
        from transformers.cache_utils import DynamicLayer  # noqa: PLC0415

        if not all(type(layer) is DynamicLayer for layer in cache.layers):
            return False
        self._ids, self._cache = tuple(ids[:MOST_TOKENS]), copy.deepcopy(cache)
        _crop(self._cache, len(ids) - len(self._ids))
        return True


def _crop(cache: "DynamicCache", tokens: int) -> None:
    """Takes the last tokens off a cache. Of none, releases of transformers before 5 took all."""
    if tokens:
        cache.crop(-tokens)


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Returns how many first tokens two prompts share."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
