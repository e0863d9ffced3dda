"""Tasks files: JSON lines, one task a line.

    {"task": "How many ...?", "reference": "4", "family": "orders", "verifier": "numeric", "split": "train"}

Only `task` must be there. `verifier` is a name or `{"name": ..., "params": {...}}`; `id` (its own, if it has one) and
`metadata` are allowed and left alone.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skill_plugin import verifiers
from skill_plugin.errors import ConfigurationError, InvalidTaskError, VerifierError
from skill_plugin.protocols import Verifier
from skill_plugin.records import DEFAULT_FAMILY, Task

KEYS = ("task", "reference", "family", "verifier", "split")
_IGNORED = ("id", "metadata")


def read_tasks(path: str | Path, *, verifier: dict[str, Any] | None = None) -> list[Task]:
    """The tasks of a file, in order.

    Args:
        path: The file.
        verifier: The verifier of tasks that name none.

    Raises:
        InvalidTaskError: the file cannot be read or is empty, or a line is wrong; says which.
    """
    lines = (read_text(f"@{path}") or "").splitlines()
    name = Path(path).name
    ids: dict[str, int] = {}
    tasks = [_task(line, name, number, verifier, ids) for number, line in enumerate(lines, start=1) if line.strip()]
    if not tasks:
        raise InvalidTaskError(f"the tasks file {str(path)!r} holds no task; write one JSON object a line")
    return tasks


def read_text(given: str | None) -> str | None:
    """The text itself, or that of the file in `@FILE`.

    Raises:
        InvalidTaskError: the file cannot be read.
    """
    if given is None or not given.startswith("@"):
        return given
    try:
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
        judge = verifiers.load(task.verifier) if task.verifier else verifier
        if judge is None or task.reference is None or isinstance(judge, verifiers.llm_judge | verifiers.weighted):
            continue
        try:
            verifiers.self_check(judge, task)
        except VerifierError as exc:
            raise InvalidTaskError(f"task {task.input[:60]!r}: {exc}") from exc


def write_tasks(path: str | Path, tasks: Sequence[Task]) -> None:
    """Writes tasks so that `read_tasks` reads them back."""
    rows = ({"task": task.input, **{key: getattr(task, key) for key in KEYS[1:]}} for task in tasks)
    Path(path).write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")


def _task(line: str, name: str, number: int, verifier: dict[str, Any] | None, ids: dict[str, int]) -> Task:
    """The task of a line; `ids` are those of the lines before it, with their numbers."""
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
    own = row.get("verifier")
    if own is not None:
        try:
            own = verifiers.spec(verifiers.load(own))
        except (ConfigurationError, AttributeError) as exc:
            raise InvalidTaskError(f"{where}: {exc}") from exc
    try:
        return Task(
            row["task"],
            family=row.get("family") or DEFAULT_FAMILY,
            reference=row.get("reference"),
            verifier=own or verifier,
            split=row.get("split"),
        )
    except InvalidTaskError as exc:
        raise InvalidTaskError(f"{where}: {exc}") from exc
