"""Checks of a LoRA adapter's files before anything loads them. Reads no tensor, and needs no torch.

A served folder was made by a training run, or by anybody who may write to the disk: a pickled file in it can run
code, a header can claim any size, and a rank that differs from the configuration's fails in the middle of a night.
"""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

from skill_plugin.errors import ConfigurationError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors library itself."""

_MAX_CONFIG_BYTES = 1_000_000
_PICKLED = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_PATTERN = re.compile(r"[\w.^$|\\-]{1,500}")
"""The forms of a `rank_pattern` that cannot take long: it is a regular expression in a file from anywhere."""
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?:embedding_)?(?P<which>[AB])(?:\.weight)?")
_CHUNK = 1 << 20


def adapter_sha256(folder: str | Path) -> str:
    """Returns the hash of the weights and the configuration; other files of the folder do not count.

    Raises:
        ConfigurationError: one of the two is missing or cannot be read.
    """
    digest = sha256()
    for name in (WEIGHTS, CONFIG):
        path = _file(Path(folder), name)
        one = sha256()
        try:
            with path.open("rb") as file:
                while some := file.read(_CHUNK):
                    one.update(some)
        except OSError as exc:
            raise _wrong(folder, f"its {name} cannot be read: {exc.strerror}") from exc
        digest.update(one.digest())
    return digest.hexdigest()


def check_adapter(folder: str | Path) -> None:
    """Checks that a folder holds a LoRA adapter, as PEFT saves it, and nothing that could run code.

    Raises:
        ConfigurationError: it does not; says what is wrong.
    """
    place = Path(folder)
    if not place.is_dir():
        raise ConfigurationError(f"there is no adapter folder {str(folder)!r}; save one with PEFT's save_pretrained")
    if pickled := sorted(path.name for path in place.iterdir() if path.suffix.lower() in _PICKLED):
        raise _wrong(folder, f"its {Path(pickled[0]).suffix} file can run code and is not read; remove {pickled[0]!r}")
    config = _config(place)
    ranks = _Ranks(config, folder)
    for name, tensor in _header(place).items():
        shape = _tensor(tensor)
        if "lora_" not in name or shape is None:
            raise _wrong(folder, f"its tensor {name[:200]!r} is not one of LoRA's in F32, F16 or BF16")
        factor = _FACTOR.fullmatch(name)
        if factor is None:
            continue  # such as DoRA's magnitudes, which have no rank
        along, rank = (0 if factor["which"] == "A" else 1), ranks.of(factor["module"])
        if len(shape) < 2 or shape[along] != rank:
            raise _wrong(
                folder, f"its tensor {name[:200]!r} has the shape {shape}, not the rank {rank} of its {CONFIG}"
            )


def verify_adapter(folder: str | Path, expected: str) -> None:
    """Checks that the adapter is still the one that was registered.

    Raises:
        ConfigurationError: a file is missing or changed, or there is something else that `check_adapter` refuses.
    """
    if not Path(folder).exists():
        raise ConfigurationError(f"the adapter {str(folder)!r} is gone; put its folder back, or register it anew")
    check_adapter(folder)
    if (found := adapter_sha256(folder)) != expected:
        raise ConfigurationError(
            f"the adapter {str(folder)!r} has changed since it was registered (sha256 {found[:12]}, not {expected[:12]}); "
            "put the old files back, or register it anew"
        )


class _Ranks:
    """The rank that a configuration gives each module, as PEFT looks it up: the first pattern that fits, else `r`."""

    def __init__(self, config: Mapping[str, Any], folder: str | Path) -> None:
        self._rank, patterns = config.get("r"), config.get("rank_pattern") or {}
        if not isinstance(patterns, dict) or not all(_is_rank(rank) for rank in (self._rank, *patterns.values())):
            raise _wrong(folder, f"its {CONFIG} gives no rank 'r' and 'rank_pattern' of whole numbers from 1")
        try:
            if strange := next((key for key in patterns if not _PATTERN.fullmatch(key)), None):
                raise _wrong(folder, f"its rank_pattern {strange[:200]!r} is not a plain module name")
            self._patterns = [(re.compile(rf"(.*\.)?({key})$"), rank) for key, rank in patterns.items()]
        except re.error as exc:
            raise _wrong(folder, f"its rank_pattern cannot be read: {exc}") from exc

    def of(self, module: str) -> Any:
        name = module.removeprefix("base_model.model.")
        return next((rank for pattern, rank in self._patterns if pattern.match(name)), self._rank)


def _config(folder: Path) -> dict[str, Any]:
    path = _file(folder, CONFIG)
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise _wrong(folder, f"its {CONFIG} is larger than {_MAX_CONFIG_BYTES} bytes")
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as exc:
        if isinstance(exc, ConfigurationError):
            raise
        raise _wrong(folder, f"its {CONFIG} cannot be read: {exc}") from exc
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise _wrong(folder, f"its {CONFIG} is not of a LoRA adapter")
    return config


def _header(folder: Path) -> dict[str, Any]:
    """Reads the tensors that the file says it holds, which fill it without holes.

    The format is eight bytes of the header's length, little-endian, the header in JSON, then the tensors
    (https://huggingface.co/docs/safetensors).
    """
    path = _file(folder, WEIGHTS)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(MAX_HEADER_BYTES, size - 8):
                raise _wrong(folder, f"the header of its {WEIGHTS} claims {length} bytes, the file has {size}")
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError) as exc:
        if isinstance(exc, ConfigurationError):
            raise
        raise _wrong(folder, f"the header of its {WEIGHTS} cannot be read: {exc}") from exc
    if isinstance(header, dict):
        header.pop("__metadata__", None)
    if not isinstance(header, dict) or not header or not _fills(header, size - 8 - length):
        raise _wrong(folder, f"the header of its {WEIGHTS} does not describe what is in the file")
    return header


def _fills(header: Mapping[str, Any], size: int) -> bool:
    """Returns whether the tensors lie one after the other from the beginning to the end."""
    places: list[list[int]] = []
    for tensor in header.values():
        place = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        if not isinstance(place, list) or [type(one) for one in place] != [int, int]:
            return False
        places.append(place)
    at = 0
    for begin, end in sorted(places):
        if begin != at or end < begin:
            return False
        at = end
    return at == size


def _tensor(tensor: Mapping[str, Any]) -> list[int] | None:
    """Returns a tensor's shape; None if it is not of LoRA's types, or not as long as its shape."""
    shape, kind = tensor.get("shape"), tensor.get("dtype")
    if not isinstance(shape, list) or not all(type(one) is int and one >= 0 for one in shape):
        return None
    begin, end = tensor["data_offsets"]
    return shape if isinstance(kind, str) and _BYTES.get(kind, -1) * prod(shape) == end - begin else None


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise _wrong(folder, f"it has no {name}")
    return path


def _is_rank(value: object) -> bool:
    return type(value) is int and value >= 1


def _wrong(folder: str | Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{str(folder)!r} is not an adapter that can be used: {why}; save one with PEFT's save_pretrained"
    )
