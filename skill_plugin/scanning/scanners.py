"""Scanners: our own, those of installed packages (entry-point group `skill_plugin.scanners`), and functions of the caller.

A scanner is a function from a text to findings. One that fails, or returns something else, holds the text: what nobody could
look at is not shown.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Any

from skill_plugin.errors import ConfigurationError
from skill_plugin.scanning.findings import Finding

Scanner = Callable[[str], Iterable[Finding]]

GROUP = "skill_plugin.scanners"
BUILT_IN = "built-in"

_KEPT = 256
"""Texts whose findings are remembered: a text is looked at before its transaction, and again within it."""


def built_in(text: str) -> Iterable[Finding]:
    """Returns all that our own scanner finds in a text. Its rules are read at the first scan, so that a search does not wait for them."""
    from skill_plugin.skills.scan import all_findings  # noqa: PLC0415 - see above

    return all_findings(text)


class Screen:
    """What every text passes before it is written: each scanner in turn.

    Args:
        scanners: `built-in`, the name of an entry point, `package.module:function`, or a function; None is our own and those of
            all installed packages, an empty list nothing.

    Raises:
        ConfigurationError: there is no scanner of a name, or it cannot be imported.
    """

    def __init__(self, scanners: Sequence[str | Scanner] | None = None) -> None:
        if isinstance(scanners, str) or not isinstance(scanners, Sequence | None):
            raise ConfigurationError(f"scanners is {scanners!r:.80}; give a list, such as ['{BUILT_IN}']")
        self._named = None if scanners is None else [_loaded(one) for one in scanners]
        self._remembered = lru_cache(maxsize=_KEPT)(self._look)

    def __call__(self, text: str) -> tuple[Finding, ...]:
        """Returns all that the scanners find in a text; what it says twice is there twice."""
        return self._remembered(text)

    @cached_property
    def _scanners(self) -> list[tuple[str, Scanner]]:
        if self._named is not None:
            return self._named
        return [(BUILT_IN, built_in), *(_loaded(name) for name in _installed())]

    def _look(self, text: str) -> tuple[Finding, ...]:
        return tuple(one for name, scanner in self._scanners for one in _findings(name, scanner, text))


def _loaded(scanner: object) -> tuple[str, Scanner]:
    if callable(scanner):
        return getattr(scanner, "__name__", type(scanner).__name__), scanner
    if scanner == BUILT_IN:
        return BUILT_IN, built_in
    if isinstance(scanner, str) and ":" in scanner:
        from skill_plugin.verifiers.loading import import_object  # noqa: PLC0415 - verifiers bring what a search does not need

        return _checked(scanner, import_object(scanner))
    known = _installed()
    if not isinstance(scanner, str) or scanner not in known:
        names = ", ".join([BUILT_IN, *sorted(known)])
        raise ConfigurationError(f"no scanner is called {scanner!r:.80}; use {names}, or package.module:function")
    try:
        return _checked(scanner, known[scanner].load())
    except Exception as exc:  # whatever is wrong in another package
        raise ConfigurationError(
            f"scanner {scanner!r} cannot be loaded: {exc}; correct or uninstall its package"
        ) from exc


def _installed() -> dict[str, Any]:
    """Returns the entry points of installed scanners by name."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - it takes 10 ms to import

    return {one.name: one for one in entry_points(group=GROUP)}


def _checked(name: str, scanner: Any) -> tuple[str, Scanner]:
    if not callable(scanner):
        raise ConfigurationError(f"scanner {name!r} is {scanner!r:.80}, which cannot be called; name a function")
    return name, scanner


def _findings(name: str, scanner: Scanner, text: str) -> list[Finding]:
    try:
        found = list(scanner(text))
        if all(isinstance(one, Finding) for one in found):
            return found
        why = "returned what is not a Finding"
    except Exception as exc:  # noqa: BLE001 - another's code; what it could not look at is held
        why = f"failed: {type(exc).__name__}"
    return [Finding("other", f"scanner {name} {why}", "hold", f"scanner {name} {why}")]
