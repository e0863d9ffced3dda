"""GGUF files, as llama.cpp and Ollama keep models, turned into folders that transformers and vLLM read."""

import importlib.metadata
import io
import re
from contextlib import redirect_stderr
from hashlib import file_digest
from pathlib import Path
from typing import Any

from filelock import FileLock

from skill_plugin.disk import check_disk, whole_folder
from skill_plugin.errors import ConfigurationError, MissingExtraError
from skill_plugin.models.base_models import loading
from skill_plugin.models.named_models import PACKAGED, PackagedModel, how_to_get, models_folder

_GROWTH = 8
"""A file of two bits a weight grows so much in bfloat16, the most there is."""


def get_model(name: str, home: Path | None = None) -> Path:
    """Makes the folder of a packaged model, or of a GGUF file, in the home folder; returns the one that exists.

    The weights are kept in bfloat16. A process that is killed leaves no half folder, and two processes take turns.

    Args:
        name: A name in `PACKAGED`, or the path of a GGUF file, whose folder gets the file's name.
        home: The home folder; by default the usual one.

    Raises:
        ConfigurationError: there is no such model, its file is not what was published, or the disk has no room.
        MissingExtraError: what the conversion needs is not installed.
    """
    packaged = PACKAGED.get(name)
    if packaged is None and not (name.endswith(".gguf") and Path(name).expanduser().is_file()):
        raise ConfigurationError(how_to_get(name, home))
    short = name if packaged else re.sub(r"[^\w.-]+", "-", Path(name).stem).strip("-.").lower()
    folder = models_folder(home) / short
    if folder.is_dir():
        return folder
    gguf = _published(packaged) if packaged else Path(name).expanduser()
    needed = packaged.folder_bytes if packaged else _GROWTH * gguf.stat().st_size
    check_disk(folder.parent, needed, advice="free some, or use another --home")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{short}.lock")):
            if not folder.is_dir():  # another process made it meanwhile
                with whole_folder(folder) as unfinished:
                    convert(gguf, unfinished)
                    if packaged:
                        (unfinished / "LICENSE").write_text(_licence(packaged), encoding="utf-8")
    except OSError as exc:
        raise ConfigurationError(f"the folder {str(folder)!r} cannot be written: {exc}; use another --home") from exc
    return folder


def convert(gguf: Path, folder: Path) -> None:
    """Writes a GGUF file's weights, in bfloat16, and its tokenizer into a folder.

    Raises:
        ConfigurationError: transformers cannot read the file.
        MissingExtraError: torch, transformers or gguf is not installed.
    """
    try:
        import gguf as _  # noqa: PLC0415, F401 - transformers reads the file with it
        import torch  # noqa: PLC0415
        import transformers  # noqa: PLC0415
    except ImportError as exc:
        raise MissingExtraError("turning a GGUF file into a folder", "smollm") from exc
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    # Newer releases keep the weights quantized, and then refuse to save them, unless they are told not to.
    config = getattr(transformers, "GgufConfig", None)
    quantization = {} if config is None else {"quantization_config": config(dequantize=True)}
    silence = redirect_stderr(io.StringIO())  # its bars
    with loading(f"the GGUF file {str(gguf)!r}", "give a file of a model that transformers reads from GGUF"), silence:
        tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(**where, **quantization, dtype=torch.float32)
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _published(model: PackagedModel) -> Path:
    """Returns the file of a packaged model, which is the one that was published, to the byte."""
    path = model.gguf()
    if path is None or not path.is_file():
        raise ConfigurationError(f"the package of {model.name!r} is not installed; run: {model.install}")
    again = f"install it again: {model.install} --force-reinstall"
    if (size := path.stat().st_size) != model.size:
        raise ConfigurationError(f"the weights {str(path)!r} have {size} bytes, not {model.size}; {again}")
    with path.open("rb") as file:
        found = file_digest(file, "sha256").hexdigest()
    if found != model.sha256:
        raise ConfigurationError(
            f"the weights {str(path)!r} are not the published ones (sha-256 {found[:12]}..., not {model.sha256[:12]}...); "
            f"{again}"
        )
    return path


def _licence(model: PackagedModel) -> str:
    """Returns the licence's text from the package, or its name where the package has no text."""
    try:
        package = importlib.metadata.distribution(model.package.partition("==")[0])
    except importlib.metadata.PackageNotFoundError:
        return f"{model.licence}\n"
    return package.read_text("LICENSE") or package.read_text("licenses/LICENSE") or f"{model.licence}\n"
