"""Any LangChain `Embeddings` as an embedder."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


class LangChainEmbedder:
    """Any LangChain `Embeddings`.

    `name` should say which model it is, its version included; by default the class and its `model` are taken.
    """

    def __init__(self, embeddings: "Embeddings", name: str | None = None) -> None:
        self.embeddings = embeddings
        model = next(
            (getattr(embeddings, key, None) for key in ("model", "model_name") if hasattr(embeddings, key)), ""
        )
        self.name = name or f"{type(embeddings).__name__}:{model}"

    @cached_property
    def signature(self) -> str:
        return f"langchain:{self.name}:{len(self.embed(['dimension'])[0])}:name+description"

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return [_normalised(vector) for vector in self.embeddings.embed_documents(list(texts))]


def _normalised(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector] if length else list(vector)
