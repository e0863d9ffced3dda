"""Embedders: MiniLM by default, any LangChain `Embeddings`, and a hashing one that has to be asked for by name.

Nothing falls back to the hashing embedder: it matches words, not meaning, and a store that used it without being told
would retrieve badly and never say why.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from skill_plugin.embedders.hashing import HashingEmbedder
from skill_plugin.embedders.langchain import LangChainEmbedder
from skill_plugin.embedders.minilm import MiniLMEmbedder, SentenceTransformersEmbedder
from skill_plugin.errors import ConfigurationError
from skill_plugin.protocols import Embedder

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

__all__ = [
    "EMBEDDERS",
    "HashingEmbedder",
    "LangChainEmbedder",
    "MiniLMEmbedder",
    "SentenceTransformersEmbedder",
    "dimension",
    "load",
]

EMBEDDERS: dict[str, Callable[..., Embedder]] = {
    "minilm": MiniLMEmbedder,
    "sentence-transformers": SentenceTransformersEmbedder,
    "hashing": HashingEmbedder,
}
_DIMENSIONS = re.compile(r"hashing-(?P<own>[1-9][0-9]{0,4}):|(?P<minilm>all-MiniLM-L6-v2)@")
TAKE_A_MODEL = ("minilm", "sentence-transformers")


def load(embedder: "str | Embedder | Embeddings") -> Embedder:
    """Returns an embedder from its name, or from a LangChain `Embeddings`.

    A name is `minilm`, `sentence-transformers` or `hashing`; the first two take another model behind a colon, a folder or
    a name of the model hub: `minilm:FOLDER`, `minilm:sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2`.

    Raises:
        ConfigurationError: the name is unknown, or the object is not an embedder.
    """
    if isinstance(embedder, str):
        name, _, model = embedder.partition(":")
        if name in EMBEDDERS and (name in TAKE_A_MODEL or not model):
            return EMBEDDERS[name](model) if model else EMBEDDERS[name]()
        raise ConfigurationError(
            f"no embedder is called {embedder!r}; use one of {', '.join(sorted(EMBEDDERS))} or minilm:FOLDER"
        )
    if isinstance(embedder, Embedder):
        return embedder
    if hasattr(embedder, "embed_documents"):
        return LangChainEmbedder(embedder)
    raise ConfigurationError(
        f"{type(embedder).__name__} is not an embedder; pass a name, a LangChain Embeddings, or an object with a signature "
        "and embed(texts)"
    )


def dimension(signature: str) -> int | None:
    """Returns the dimension of the vectors with this signature, as far as the signature says it; loads no model."""
    found = _DIMENSIONS.match(signature)
    return None if found is None else 384 if found["minilm"] else int(found["own"])
