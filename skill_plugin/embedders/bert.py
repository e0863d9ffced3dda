"""Runs a BERT that embeds sentences: its safetensors on ONNX Runtime, without PyTorch.

The graph is written here, from the model's `config.json`; the weights are used where they lie, memory-mapped. Nothing is
converted and nothing is stored, so no second file can be out of date.

Source of the model: Devlin et al. 2019 (arXiv 1810.04805); of the pooling: Reimers and Gurevych 2019 (arXiv 1908.10084).
"""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skill_plugin.embedders.onnx_graph import OnnxGraph
from skill_plugin.errors import ConfigurationError

WEIGHTS_FILE = "model.safetensors"
BATCH = 8  # larger ones leave the cache, and are slower
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}

Weights = dict[str, NDArray[Any]]


class BertEncoder:
    """Turns texts into vectors of length 1. One object may serve many threads; one text is computed by one of them.

    Args:
        folder: A model for which `why_not_bert` returns nothing.

    Raises:
        ConfigurationError: a file of the model is damaged.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime  # noqa: PLC0415 - 0.1 s, and only embedding needs it
        from tokenizers import Tokenizer  # noqa: PLC0415 - as above

        config = _read(folder / "config.json")
        try:
            weights = read_weights(folder / WEIGHTS_FILE)
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1  # a second one spins, and saves nothing
            options.add_external_initializers(
                list(weights), [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
            )
            graph = _graph(weights, config, pooling=_pooling(folder))
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as exc:
            raise ConfigurationError(
                f"the model in {str(folder)!r} cannot be read ({str(exc).splitlines()[0]}); fetch it anew"
            ) from exc
        self._tokenizer.enable_truncation(_longest(folder, config))
        pad = config.get("pad_token_id") or 0
        self._tokenizer.enable_padding(pad_id=pad, pad_token=self._tokenizer.id_to_token(pad) or "[PAD]")

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns vectors of shape [texts, dimension]."""
        if len(texts) <= BATCH:
            return self._run(texts)
        # Texts of like length share a batch, so that little is padded.
        order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
        batches = [[texts[number] for number in order[at : at + BATCH]] for at in range(0, len(order), BATCH)]
        with ThreadPoolExecutor(min(len(batches), os.cpu_count() or 1)) as pool:
            made = np.concatenate(list(pool.map(self._run, batches)))
        vectors = np.empty_like(made)
        vectors[order] = made
        return vectors

    def _run(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not texts:
            return np.empty((0, 0), np.float32)
        if len(texts) == 1:  # a batch would wake the tokenizer's threads, which a forked process then complains of
            encoded = [self._tokenizer.encode(texts[0].strip())]
        else:
            encoded = self._tokenizer.encode_batch([text.strip() for text in texts])
        inputs = {
            "ids": np.array([one.ids for one in encoded], np.int64),
            "mask": np.array([one.attention_mask for one in encoded], np.int64),
        }
        vectors: NDArray[np.float32] = self._session.run(None, inputs)[0]
        return vectors


def why_not_bert(folder: Path) -> str:
    """Returns why `BertEncoder` cannot run the model of a folder, or an empty text where it can."""
    config = _read(folder / "config.json")
    kinds = {str(one.get("type", "")).rpartition(".")[-1] for one in _read(folder / "modules.json", default=[])}
    reasons = {
        "it is not a BERT": config.get("model_type") != "bert",
        "its activation is not GELU": config.get("hidden_act", "gelu") != "gelu",
        "its positions are not absolute": config.get("position_embedding_type", "absolute") != "absolute",
        "it has other layers behind its pooling": bool(kinds - {"Transformer", "Pooling", "Normalize"}),
        "it pools neither by the mean nor by the first token": not _pooling(folder),
        "it makes its texts lower case": bool(_read(folder / "sentence_bert_config.json").get("do_lower_case")),
        "it puts a prompt before each text": bool(
            _read(folder / "config_sentence_transformers.json").get("default_prompt_name")
        ),
        "it has no tokenizer.json": not (folder / "tokenizer.json").is_file(),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _pooling(folder: Path) -> str:
    """Returns `mean` or `cls`, or an empty text for another way. Without a word of it, sentence-transformers takes the mean."""
    config = _read(folder / "1_Pooling" / "config.json")
    names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    modes = [names.get(key, "") for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if isinstance(mode := config.get("pooling_mode", [] if modes else "mean"), str):
        modes.append(mode)
    return modes[0] if len(modes) == 1 and modes[0] in names.values() else ""


def _longest(folder: Path, config: dict[str, Any]) -> int:
    positions = int(config["max_position_embeddings"])
    asked = _read(folder / "sentence_bert_config.json").get("max_seq_length")
    asked = asked or _read(folder / "tokenizer_config.json").get("model_max_length")
    return min(positions, int(asked)) if asked else positions


def _read(path: Path, default: Any = None) -> Any:
    """Returns what a JSON file of the model says; without the file `default`, or an empty object."""
    if not path.is_file():
        return {} if default is None else default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as exc:
        raise ConfigurationError(f"{str(path)!r} is not JSON ({exc}); fetch the model anew") from exc


def read_weights(path: Path) -> Weights:
    """Returns a BERT's tensors by name, memory-mapped; a pooler, which no sentence passes through, is left out.

    The format is eight bytes with the length of a JSON header, the header, and the tensors
    (https://huggingface.co/docs/safetensors).

    Raises:
        ValueError: the file is not of that format, or a tensor is neither of 32 nor of 16 bits.
    """
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        if start > path.stat().st_size:
            raise ValueError(f"{path.name} ends before its tensors")
        header = json.loads(file.read(start - 8))
    data = np.memmap(path, mode="r", offset=start)
    found: Weights = {}
    for name, entry in header.items():
        short = name.removeprefix("bert.")
        if short.startswith(("embeddings.", "encoder.")) and not short.endswith("position_ids"):
            if (dtype := _DTYPES.get(entry["dtype"])) is None:
                raise ValueError(f"{name} is of type {entry['dtype']}; 32 and 16 bits can be read")
            begin, end = entry["data_offsets"]
            found[short] = np.ascontiguousarray(
                np.frombuffer(data[begin:end], dtype).reshape(entry["shape"]), np.float32
            )
    return found


def _graph(weights: Weights, config: dict[str, Any], *, pooling: str) -> bytes:
    """Writes BERT from token numbers to one vector a text. Axes: batch, tokens, heads, width."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    add = OnnxGraph(weights)

    def linear(inputs: str, layer: str) -> str:
        return add("Gemm", inputs, f"{layer}.weight", f"{layer}.bias", transB=1)

    def norm(inputs: str, layer: str) -> str:
        epsilon = float(config.get("layer_norm_eps", 1e-12))
        return add("LayerNormalization", inputs, f"{layer}.weight", f"{layer}.bias", axis=-1, epsilon=epsilon)

    def by_head(inputs: str, order: tuple[int, ...]) -> str:
        return add("Transpose", add("Reshape", inputs, split), perm=order)

    def attention(inputs: str, layer: str) -> str:
        query = by_head(linear(inputs, f"{layer}.self.query"), (0, 2, 1, 3))
        key = by_head(linear(inputs, f"{layer}.self.key"), (0, 2, 3, 1))
        value = by_head(linear(inputs, f"{layer}.self.value"), (0, 2, 1, 3))
        scores = add("Div", add("MatMul", query, key), add.number((width // heads) ** 0.5))
        mixed = add("MatMul", add("Softmax", add("Add", scores, hidden), axis=-1), value)
        joined = add("Reshape", add("Transpose", mixed, perm=(0, 2, 1, 3)), rows)
        return linear(joined, f"{layer}.output.dense")

    mask = add("Cast", "mask", to=1)
    seen = add("Unsqueeze", mask, add.integers(1, 2))
    hidden = add("Mul", add("Sub", add.number(1), seen), add.number(float(np.finfo(np.float32).min)))
    shape = add("Shape", "ids")
    length = add("Gather", shape, add.integers(1))
    rows = add.integers(-1, width)  # all tokens of the batch below one another
    split = add("Concat", shape, add.integers(heads, width // heads), axis=0)
    positions = add("Slice", "embeddings.position_embeddings.weight", add.integers(0), length, add.integers(0))
    kind = add("Gather", "embeddings.token_type_embeddings.weight", add.integers(0))
    words = add("Gather", "embeddings.word_embeddings.weight", "ids")
    state = add("Reshape", add("Add", add("Add", words, kind), positions), rows)
    state = norm(state, "embeddings.LayerNorm")
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}"
        state = norm(add("Add", attention(state, f"{layer}.attention"), state), f"{layer}.attention.output.LayerNorm")
        inner = add("Gelu", linear(state, f"{layer}.intermediate.dense"))
        state = norm(add("Add", linear(inner, f"{layer}.output.dense"), state), f"{layer}.output.LayerNorm")
    state = add("Reshape", state, add("Concat", shape, add.integers(width), axis=0))
    if pooling == "mean":
        total = add(
            "ReduceSum", add("Mul", state, add("Unsqueeze", mask, add.integers(2))), add.integers(1), keepdims=0
        )
        pooled = add("Div", total, add("ReduceSum", mask, add.integers(1), keepdims=1))
    else:
        first = add("Slice", state, add.integers(0), add.integers(1), add.integers(1))
        pooled = add("Reshape", first, add.integers(0, width))
    vectors = add("LpNormalization", pooled, axis=1, p=2)
    return add.model({"ids": ("batch", "tokens"), "mask": ("batch", "tokens")}, vectors)
