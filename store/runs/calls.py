"""Calls of skills' functions: which version's function ran in which run, and how that ended."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Index, func
from sqlmodel import Field, Session, col, select

from skill_plugin.errors import ConfigurationError
from skill_plugin.records import split_ref
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import versions
from skill_plugin.store.sql.database import insert_if_absent
from skill_plugin.store.tables import PREFIX, Table, UtcDateTime, utc_now

LONGEST_ARGUMENTS = 2_000
"""Characters of a call's arguments that are kept."""

SEEN = 20
"""Different arguments of a skill's functions that a revision is held to, the newest."""

CHANGED = ("[redacted:", "[forgotten]")
"""What stands in kept arguments that are not what was given."""


class CallRow(Table, table=True):
    """One call of a function; `k` counts the calls of a run from 0."""

    __tablename__ = f"{PREFIX}call"
    __table_args__ = (Index(None, "skill_id", "number"),)

    namespace: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)
    k: int = Field(primary_key=True)
    skill_id: str
    number: int
    function: str
    ok: bool
    error: str = ""
    seconds: float = 0.0
    tool_calls: int = 0
    arguments: str = Field(default="", sa_column_kwargs={"server_default": ""})
    at: datetime = Field(default_factory=utc_now, sa_type=UtcDateTime)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCall:
    """One call of a skill's function.

    Args:
        skill: `skill_id@version`, or `name@version`.
        function: Its name.
        ok: Whether it returned.
        error: Why it did not.
        seconds: Time that it took.
        tool_calls: Calls of the agent's tools that it made.
        arguments: What it was called with, as JSON; empty where that was too long to keep.
        at: When it ended.
    """

    skill: str
    function: str
    ok: bool
    error: str = ""
    seconds: float = 0.0
    tool_calls: int = 0
    arguments: str = ""
    at: datetime = field(default_factory=utc_now)


@dataclass(frozen=True, slots=True)
class CallCount:
    """Calls of a version's or a skill's functions."""

    calls: int = 0
    failed: int = 0
    runs: int = 0


def record_calls(store: Part, run_id: str, calls: Sequence[FunctionCall], *, first: int | None = None) -> int:
    """Appends the calls of a run; returns how many were new.

    Args:
        store: The library.
        run_id: The run.
        calls: In order.
        first: The number of the first of them within the run, from 0: what has that number is not written twice. By default they
            come after all that the run has.

    Raises:
        ConfigurationError: a call names no version.
        SkillNotFoundError: a version does not exist.
    """
    partition = store._partition  # noqa: SLF001 - a store has as many names as one can keep in mind
    with partition.write() as session:
        start = _next(session, partition.namespace, run_id) if first is None else first
        new = 0
        for k, call in enumerate(calls, start):
            if split_ref(call.skill)[1] is None:
                raise ConfigurationError(
                    f"the call of {call.function!r:.80} names {call.skill!r:.80}; give skill_id@version"
                )
            skill, version = versions.resolve(session, partition.namespace, call.skill)
            row = CallRow(
                namespace=partition.namespace,
                run_id=run_id,
                k=k,
                skill_id=skill.id,
                number=version.number,
                function=call.function,
                ok=call.ok,
                error=call.error,
                seconds=call.seconds,
                tool_calls=call.tool_calls,
                arguments=call.arguments if len(call.arguments) <= LONGEST_ARGUMENTS else "",
                at=call.at,
            )
            new += insert_if_absent(session, CallRow, row.model_dump())
        return new


def calls_of(store: Part, run_id: str) -> list[FunctionCall]:
    """Returns the calls of a run, in order; none for an unknown run."""
    partition = store._partition  # noqa: SLF001
    mine = select(CallRow).where(CallRow.namespace == partition.namespace, CallRow.run_id == run_id)
    with partition.read() as session:
        rows = session.exec(mine.order_by(col(CallRow.k))).all()
    return [
        FunctionCall(
            skill=f"{row.skill_id}@{row.number}",
            function=row.function,
            ok=row.ok,
            error=row.error,
            seconds=row.seconds,
            tool_calls=row.tool_calls,
            arguments=row.arguments,
            at=row.at,
        )
        for row in rows
    ]


def errors_in(store: Part, run_id: str) -> dict[str, tuple[str, ...]]:
    """Returns which calls of a run failed: by `skill_id@version` one line for each function and error."""
    errors: dict[str, dict[str, None]] = {}
    for call in calls_of(store, run_id):
        if not call.ok:
            errors.setdefault(call.skill, {})[f"the function {call.function} failed: {call.error}"] = None
    return {ref: tuple(lines) for ref, lines in errors.items()}


def seen_arguments(store: Part, ref: str) -> list[tuple[str, dict[str, Any]]]:
    """Returns functions of a skill with the arguments that agents called them with and got a result for, newest first."""
    partition, skill_id = store._partition, split_ref(ref)[0]  # noqa: SLF001
    given = (
        select(CallRow.function, CallRow.arguments)
        .where(CallRow.namespace == partition.namespace, CallRow.skill_id == skill_id)
        .where(col(CallRow.ok), CallRow.arguments != "")
        .where(*(~col(CallRow.arguments).contains(mark, autoescape=True) for mark in CHANGED))
        .group_by(col(CallRow.function), col(CallRow.arguments))
        .order_by(func.max(CallRow.at).desc(), col(CallRow.function), col(CallRow.arguments))
        .limit(SEEN)
    )
    with partition.read() as session:
        rows = session.exec(given).all()
    return [(function, json.loads(arguments)) for function, arguments in rows]


def runs_that_called(store: Part, ref: str) -> frozenset[str]:
    """Returns the runs in which a function of a version, `skill_id@version`, ran to its end."""
    partition = store._partition  # noqa: SLF001
    skill_id, number = split_ref(ref)
    ran = select(CallRow.run_id).where(
        CallRow.namespace == partition.namespace,
        CallRow.skill_id == skill_id,
        CallRow.number == number,
        col(CallRow.ok),
    )
    with partition.read() as session:
        return frozenset(session.exec(ran.distinct()).all())


def count_calls(store: Part, name: str, *, function: str | None = None) -> CallCount:
    """Counts the calls of a skill's functions: of all its versions, or with `name@2` of that one.

    Raises:
        SkillNotFoundError: no such skill.
    """
    partition = store._partition  # noqa: SLF001
    name, number = split_ref(name)
    with partition.read() as session:
        skill = versions.find_skill(session, partition.namespace, name)
        wanted = [CallRow.namespace == partition.namespace, CallRow.skill_id == skill.id]
        wanted += [] if number is None else [CallRow.number == number]
        wanted += [] if function is None else [CallRow.function == function]
        counts = select(func.count(), func.count(func.distinct(col(CallRow.run_id)))).where(*wanted)
        calls, runs = session.exec(counts).one()
        failed = session.exec(select(func.count()).where(*wanted, ~col(CallRow.ok))).one()
    return CallCount(calls, failed, runs)


def _next(session: Session, namespace: str, run_id: str) -> int:
    last = select(func.max(CallRow.k)).where(CallRow.namespace == namespace, CallRow.run_id == run_id)
    newest = session.exec(last).one()
    return 0 if newest is None else newest + 1
