"""The choice of the verifier that judges a logged task: the one that its name loads, or the operator's own.

A name that came with data is never imported, because importing runs code. A function of the operator's own, or another verifier
that is not in `VERIFIERS`, therefore judges again only where the operator gives it again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from skill_plugin.errors import ConfigurationError, InvalidTaskError
from skill_plugin.protocols import Verifier
from skill_plugin.records import Task, canonical_json
from skill_plugin.verifiers.base import name_of, spec
from skill_plugin.verifiers.loading import VERIFIERS, load


def verifier_of(logged: str | Mapping[str, Any], own: Verifier | None = None) -> Verifier:
    """Returns the verifier that judges a task that was logged with this one.

    A name in `VERIFIERS` is loaded. The operator's own judges what was logged with it, and what was logged with another function
    or with an earlier form of it, which nothing can load; `otherwise` says which tasks those are.

    Args:
        logged: The task's `verifier`.
        own: The verifier that the operator gives now: `--verifier`, a setting, or an argument.

    Raises:
        ConfigurationError: the name cannot be loaded, and the operator gives nothing that can stand for it.
    """
    logged = _whole(logged)
    if own is not None and logged == spec(own):
        return own
    name = logged["name"]
    if _is_known(logged) or not (
        _is_function(logged) or name in VERIFIERS or (own is not None and name == name_of(own))
    ):
        return load(logged)
    if own is not None and not _is_known(spec(own)) and (_is_function(logged) or name == name_of(own)):
        return own
    again = f"--verifier {name}" if _is_function(logged) else "verifier=... in Python"
    given = "" if own is None else f", and {name_of(own)!r} cannot stand for it"
    raise ConfigurationError(
        f"a task was judged by a verifier of your own, {name!r}, and names that came with data are not imported{given}; "
        f"give it again: {again}"
    )


def check_verifiers(tasks: Sequence[Task], own: Verifier | None = None) -> str:
    """Loads the verifiers of all tasks, each once, and returns what `otherwise` says.

    Raises:
        ConfigurationError: see `verifier_of`.
        InvalidTaskError: a task names no verifier, and the operator gives none.
    """
    for task in {canonical_json(task.verifier): task for task in tasks}.values():
        if task.verifier is not None:
            verifier_of(task.verifier, own)
        elif own is None:
            raise InvalidTaskError(
                f"the task {task.input[:60]!r} names no verifier; add one to it, or give one for all"
            )
    return otherwise(tasks, own)


def otherwise(tasks: Sequence[Task], own: Verifier | None) -> str:
    """Says how many tasks the operator's verifier judges though they were logged with another of the operator's own; else nothing."""
    if own is None:
        return ""
    logged = [_whole(task.verifier) for task in tasks if task.verifier is not None]
    names = Counter(one["name"] for one in logged if not _is_known(one) and one != spec(own))
    if not names:
        return ""
    first, others = next(iter(names)), len(names) - 1
    said = f"{first!r}" + (f" and {others} other{'s' if others > 1 else ''}" if others else "")
    count = names.total()
    return (
        f"{count} task{'s were' if count > 1 else ' was'} logged with the verifier {said}; {name_of(own)!r} judges now"
    )


def _whole(logged: str | Mapping[str, Any]) -> dict[str, Any]:
    """Returns a logged verifier in the form that `spec` gives."""
    if isinstance(logged, str):
        return {"name": logged, "params": {}}
    return {"name": str(logged.get("name")), "params": logged.get("params") or {}}


def _is_function(logged: Mapping[str, Any]) -> bool:
    return ":" in logged["name"]


def _is_known(logged: Any) -> bool:
    """Returns whether `VERIFIERS` has its name, and those of all its parts. Loading reports what is malformed in it."""
    if not isinstance(logged, str | Mapping):
        return False
    whole = _whole(logged)
    params = whole["params"] if isinstance(whole["params"], Mapping) else {}
    parts = params.get("parts") if whole["name"] == "weighted" else None
    pairs = (
        [pair for pair in parts if isinstance(pair, list | tuple) and pair] if isinstance(parts, list | tuple) else []
    )
    return whole["name"] in VERIFIERS and all(_is_known(pair[-1]) for pair in pairs)
