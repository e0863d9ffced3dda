"""Base models and their adapters as folders: for the generator that samples with them and the trainer that changes them."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from skill_plugin.errors import ConfigurationError

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
GET_ONE = "get one with: hf download NAME --local-dir FOLDER"
PICKLES = ("*.bin", "*.pt", "*.pth")


def model_folder(path: str | Path) -> str:
    """Returns a model's folder, or its name on the hub.

    Raises:
        ConfigurationError: the path can only be a folder and is not one, or its weights are pickles or GGUF.
    """
    folder = Path(path).expanduser()
    if folder.suffix == ".gguf" and folder.is_file():
        raise ConfigurationError(_is_gguf(path, folder))
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        if gguf := next(iter(sorted(folder.glob("*.gguf"))), None):
            raise ConfigurationError(_is_gguf(path, gguf))
        if any(found for kind in PICKLES for found in folder.glob(kind)):
            raise ConfigurationError(
                f"the model {str(path)!r} cannot be loaded: its .bin files can run code and are not read; convert it to "
                "safetensors, or get a release that is in safetensors"
            )
    if folder.is_dir():
        return str(folder)
    if isinstance(path, Path) or path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise ConfigurationError(
            f"there is no model folder {str(path)!r}; get one with: hf download NAME --local-dir {path}"
        )
    return path


def _is_gguf(path: str | Path, file: Path) -> str:
    return (
        f"the model {str(path)!r} cannot be loaded: its weights are a GGUF file; turn it into a folder with: "
        f"skill-plugin models get {shlex.quote(str(file))}"
    )


def check_model(path: str | Path) -> None:
    """Raises `ConfigurationError` where a folder holds no model in safetensors; a name on the hub is not asked for."""
    if (folder := Path(model_folder(path))).is_dir():
        _files(folder)


def adapter_folder(adapter: str | Path) -> Path:
    """Returns the folder of an adapter in safetensors.

    Raises:
        ConfigurationError: it does not hold an adapter.
    """
    folder = Path(adapter).expanduser()
    if missing := [name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS) if not (folder / name).is_file()]:
        pickled = "; its .bin file can run code and is not read" if (folder / "adapter_model.bin").exists() else ""
        raise ConfigurationError(
            f"{str(adapter)!r} is not an adapter, it has no {missing[0]}{pickled}; save one with PEFT's save_pretrained"
        )
    return folder


def base_revision(path: str | Path) -> str:
    """Returns a name that says which weights these are.

    For a folder `sha256:` and 16 hexadecimal digits over the names and bytes of its config.json and all its
    *.safetensors; for a name on the hub the commit that is on this machine, or, without one, the name.

    Raises:
        ConfigurationError: the folder does not exist, or it holds no model in safetensors.
    """
    found = model_folder(path)
    folder = Path(found)
    if not folder.is_dir():
        return _commit(found) or found
    digest = sha256()
    for file in _files(folder):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as content:
            while some := content.read(1 << 20):
                digest.update(some)
    return f"sha256:{digest.hexdigest()[:16]}"


def _files(folder: Path) -> list[Path]:
    """Returns the configuration and the weights of a model's folder."""
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    if len(files) == 1 or not files[0].is_file():
        lacks = "config.json" if len(files) > 1 else "*.safetensors"
        raise ConfigurationError(f"{str(folder)!r} holds no model, it has no {lacks}; {GET_ONE}")
    return files


def _commit(name: str) -> str | None:
    """Returns the commit of a hub's model that was downloaded; the hub itself is not asked."""
    try:
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - comes with the train extra
    except ImportError:
        return None
    try:
        config = try_to_load_from_cache(name, "config.json")
    except ValueError:  # not a name that a hub could have; loading it says so
        return None
    return Path(config).parent.name if isinstance(config, str) else None


@contextmanager
def loading(what: str, advice: str) -> Iterator[None]:
    """Turns an error inside into one line that begins with `what` and ends with `advice`."""
    try:
        yield
    except Exception as exc:  # a missing file, a name that is not a repository, a damaged file: each fails its own way
        reason = " ".join(str(exc).split())[:300]
        raise ConfigurationError(f"{what} cannot be loaded: {reason}; {advice}") from exc
