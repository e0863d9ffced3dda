"""Tasks files: JSON lines, one task a line.

    {"task": "How many ...?", "reference": "4", "family": "orders", "verifier": "numeric", "split": "train"}

Only `task` must be there. `verifier` is a name or `{"name": ..., "params": {...}}`; `chain` and `position` (from 0) put tasks
of one family one after the other; `id` (its own, if it has one) and `metadata` are allowed and left alone.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skill_plugin import verifiers
from skill_plugin.errors import ConfigurationError, InvalidTaskError, VerifierError
from skill_plugin.protocols import Verifier
from skill_plugin.records import DEFAULT_FAMILY, Task

KEYS = ("task", "reference", "family", "verifier", "split", "chain", "position")
_IGNORED = ("id", "metadata")


def read_tasks(path: str | Path, *, verifier: dict[str, Any] | None = None, own: Verifier | None = None) -> list[Task]:
    """Reads the tasks of a file, in order.

    Args:
        path: The file; `-` is standard input.
        verifier: The verifier of tasks that name none.
        own: The operator's verifier: a line may name it too, though nothing could load it.

    Raises:
        InvalidTaskError: the file cannot be read or is empty, a line is wrong, or a chain is not whole; says which.
    """
    lines = (read_text(f"@{path}") or "").splitlines()
    name = "standard input" if str(path) == "-" else Path(path).name
    ids: dict[str, int] = {}
    numbered = {
        number: _task(line, name, number, verifier=verifier, own=own, ids=ids)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    }
    if not numbered:
        raise InvalidTaskError(f"the tasks file {str(path)!r} holds no task; write one JSON object a line")
    _check_chains(numbered, name)
    return list(numbered.values())


def read_text(given: str | None) -> str | None:
    """Returns the text itself, or that of the file in `@FILE`; `@-` is standard input.

    Raises:
        InvalidTaskError: the file cannot be read.
    """
    if given is None or not given.startswith("@"):
        return given
    try:
        if given == "@-":
            return sys.stdin.buffer.read().decode("utf-8")
        return Path(given[1:]).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise InvalidTaskError(f"the file {given[1:]!r} cannot be read: {reason}; give a text file") from exc


def check_references(tasks: Sequence[Task], verifier: Verifier | None = None) -> None:
    """Gives every task's verifier the task's own reference and demands the full reward: better now than after a night.

    Tasks without a reference and judges that cost money are left out.

    Raises:
        InvalidTaskError: a reference does not pass its own verifier.
    """
    for task in tasks:
        judge = verifiers.verifier_of(task.verifier, verifier) if task.verifier else verifier
        if judge is None or task.reference is None or isinstance(judge, verifiers.llm_judge | verifiers.weighted):
            continue
        try:
            verifiers.self_check(judge, task)
        except VerifierError as exc:
            raise InvalidTaskError(f"task {task.input[:60]!r}: {exc}") from exc


def write_tasks(path: str | Path, tasks: Sequence[Task]) -> None:
    """Writes tasks so that `read_tasks` reads them back."""
    rows = (
        {"task": task.input, **{key: getattr(task, key) for key in KEYS[1 : None if task.chain else -2]}}
        for task in tasks
    )
    lines = (f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    Path(path).write_text("".join(lines), encoding="utf-8")


def _check_chains(tasks: Mapping[int, Task], name: str) -> None:
    """Raises `InvalidTaskError` where a chain has a hole, a position twice, or tasks of two families; tasks by line number."""
    chains: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for number, task in tasks.items():
        if task.chain is None or task.position is None:
            continue
        lines = chains[task.chain]
        where = f"{name}:{number}: the chain {task.chain!r}"
        if (first := lines.setdefault(task.position, number)) != number:
            raise InvalidTaskError(
                f"{where} has its position {task.position} on line {first} too; give each task of a chain its own"
            )
        if (family := tasks[next(iter(lines.values()))].family) != task.family:
            raise InvalidTaskError(
                f"{where} has a task of the family {task.family!r} and one of {family!r}; a chain is of one family"
            )
    for chain, lines in chains.items():
        missing = next(position for position in range(len(lines) + 1) if position not in lines)
        if missing < len(lines):
            number = lines[min(position for position in lines if position > missing)]
            raise InvalidTaskError(
                f"{name}:{number}: the chain {chain!r} has no task at position {missing}; number its tasks 0, 1, 2, ..."
            )


def _task(
    line: str,
    name: str,
    number: int,
    *,
    verifier: dict[str, Any] | None,
    own: Verifier | None,
    ids: dict[str, int],
) -> Task:
    """Reads the task of a line; `ids` are those of the lines before it, with their numbers."""
    where = f"{name}:{number}"
    try:
        row = json.loads(line)
    except ValueError as exc:
        raise InvalidTaskError(f"{where}: no JSON ({exc}); write one object a line") from exc
    if not isinstance(row, dict) or "task" not in row:
        raise InvalidTaskError(f'{where}: no \'task\' in {line.strip()[:80]!r}; write {{"task": "..."}}')
    if unknown := sorted(set(row) - set(KEYS) - set(_IGNORED)):
        raise InvalidTaskError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(KEYS + _IGNORED)}")
    if (given := row.get("id")) is not None and (first := ids.setdefault(repr(given), number)) != number:
        raise InvalidTaskError(f"{where}: the id {given!r} is that of line {first}; give every task its own, or none")
    if (named := row.get("verifier")) is not None:
        try:
            named = _named(named, own)
        except (ConfigurationError, AttributeError) as exc:
            raise InvalidTaskError(f"{where}: {exc}") from exc
    try:
        return Task(
            row["task"],
            family=row.get("family") or DEFAULT_FAMILY,
            reference=row.get("reference"),
            verifier=named or verifier,
            split=row.get("split"),
            chain=row.get("chain"),
            position=row.get("position"),
        )
    except InvalidTaskError as exc:
        raise InvalidTaskError(f"{where}: {exc}") from exc


def _named(given: str | Mapping[str, Any], own: Verifier | None) -> dict[str, Any] | None:
    """Returns the verifier that a line names, as it is logged."""
    name = given if isinstance(given, str) else given.get("name")
    if own is not None and name not in verifiers.VERIFIERS and name == (verifiers.spec(own) or {}).get("name"):
        return verifiers.spec(own)
    return verifiers.spec(verifiers.load(given))
