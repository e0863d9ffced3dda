"""An embedder without a model."""

import hashlib
import math
import re
from collections.abc import Sequence


class HashingEmbedder:
    """Words hashed into `dimension` buckets. No model, no meaning: for tests, and where MiniLM cannot be had."""

    def __init__(self, dimension: int = 256) -> None:
        self.dimension = dimension

    @property
    def signature(self) -> str:
        return f"hashing-{self.dimension}:name+description"

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Returns vectors of shape [texts, dimension]."""
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        counts = [0.0] * self.dimension
        for word in re.findall(r"\w+", text.lower()) or [""]:
            counts[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % self.dimension] += 1
        length = math.sqrt(sum(count * count for count in counts))
        return [count / length for count in counts]
