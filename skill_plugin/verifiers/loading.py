"""Loads verifiers from their logged names and parameters."""

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from skill_plugin.errors import ConfigurationError
from skill_plugin.protocols import Verifier
from skill_plugin.verifiers.base import as_verifier

VERIFIERS: dict[str, Callable[..., Verifier]] = {}
"""From name to factory; add your own here to have it logged and loaded by name."""


def load(spec: str | Mapping[str, Any], *, import_functions: bool = False) -> Verifier:
    """Returns a verifier from its name, or from `{"name": ..., "params": {...}}`.

    Args:
        spec: The name and parameters, as `verifiers.spec` gave them or as a tasks file has them.
        import_functions: Also take `package.module:function`. Importing runs code, so this is for names that the
            operator typed, never for names that came with data.

    Raises:
        ConfigurationError: no verifier has this name, or it does not take these parameters.
    """
    name, params = (spec, {}) if isinstance(spec, str) else (spec.get("name"), spec.get("params") or {})
    if isinstance(name, str) and ":" in name and import_functions:
        return as_verifier(import_object(name))
    if name not in VERIFIERS or not isinstance(params, Mapping):
        function = (
            f", or name your own function with --verifier {name}" if isinstance(name, str) and ":" in name else ""
        )
        raise ConfigurationError(f"no verifier is called {name!r}; use one of {', '.join(sorted(VERIFIERS))}{function}")
    try:
        return VERIFIERS[name](**params)
    except TypeError as exc:
        raise ConfigurationError(f"verifier {name!r} cannot be made with {dict(params)!r}: {exc}") from exc


def import_object(path: str) -> Any:
    """Returns the object at `package.module:attribute`, from the current folder or among the installed packages.

    The current folder is put last on Python's path, because a console script has its own folder there instead: a file in it can stand
    for no module that is installed. It is left out if Python was told so (`-P`, `PYTHONSAFEPATH`).

    Raises:
        ConfigurationError: the module or the attribute does not exist, or the module fails; says where it was looked for.
    """
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise ConfigurationError(f"{path!r} does not say what to import; write it as package.module:attribute")
    here = str(Path.cwd())
    if not sys.flags.safe_path and not {"", here} & set(sys.path):
        sys.path.append(here)
    try:
        found: Any = importlib.import_module(module)
    except Exception as exc:  # whatever is wrong in the user's file
        raise ConfigurationError(f"{path!r} cannot be imported: {_why(module, here, exc)}") from exc
    for part in attribute.split("."):
        if not hasattr(found, part):
            file = getattr(sys.modules[module], "__file__", None) or f"the module {module!r}"
            raise ConfigurationError(f"{path!r} cannot be imported: {file} has no {attribute!r}; name what is in it")
        found = getattr(found, part)
    return found


def _why(module: str, here: str, exc: Exception) -> str:
    if isinstance(exc, ModuleNotFoundError) and exc.name is not None and f"{module}.".startswith(f"{exc.name}."):
        folder = "" if sys.flags.safe_path else f"in the current folder {here!r} or "
        return (
            f"there is no module {exc.name!r} {folder}among the packages of {sys.executable}; run the command in the folder "
            "that holds it, or install it"
        )
    return f"{' '.join(f'{type(exc).__name__}: {exc}'.split())[:300]}; correct the module"
