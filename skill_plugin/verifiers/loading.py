"""From a verifier's logged name and parameters back to the verifier."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from skill_plugin.errors import ConfigurationError
from skill_plugin.protocols import Verifier
from skill_plugin.verifiers.base import as_verifier

VERIFIERS: dict[str, Callable[..., Verifier]] = {}
"""From name to factory; add your own here to have it logged and loaded by name."""


def load(spec: str | Mapping[str, Any], *, import_functions: bool = False) -> Verifier:
    """A verifier from its name, or from `{"name": ..., "params": {...}}`.

    Args:
        spec: As `verifiers.spec` gave it, or as a tasks file says it.
        import_functions: Also take `package.module:function`. Importing runs code, so this is for names that the
            operator typed, never for names that came with data.

    Raises:
        ConfigurationError: no such verifier, or parameters that it does not take.
    """
    name, params = (spec, {}) if isinstance(spec, str) else (spec.get("name"), spec.get("params") or {})
    if isinstance(name, str) and ":" in name and import_functions:
        return as_verifier(import_object(name))
    if name not in VERIFIERS or not isinstance(params, Mapping):
        raise ConfigurationError(f"no verifier is called {name!r}; use one of {', '.join(sorted(VERIFIERS))}")
    try:
        return VERIFIERS[name](**params)
    except TypeError as exc:
        raise ConfigurationError(f"verifier {name!r} cannot be made with {dict(params)!r}: {exc}") from exc


def import_object(path: str) -> Any:
    """The object at `package.module:attribute`."""
    module, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ConfigurationError(f"{path!r} cannot be imported: {exc}; write it as package.module:attribute") from exc
    return found
