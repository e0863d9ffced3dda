"""Queries of the library with typed filters: which skills exist, which help, which serve a family."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, func, or_, union
from sqlalchemy import select as rows_of
from sqlalchemy.orm import Mapped, aliased
from sqlmodel import Session, col, select

from skill_plugin.errors import ConfigurationError
from skill_plugin.notebook import html_table
from skill_plugin.records import Author, Skill
from skill_plugin.skills.tiers import TIERS, rank
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import versions
from skill_plugin.store.skills.lift import Lift, lift_of
from skill_plugin.store.tables import RevisionRow, RolloutRow, SkillRow, SkillVersionRow, TaskRow

OrderBy = Literal["name", "utility", "uses", "wins", "created_at"]

MAX_LIMIT = 1000
MAX_NUMBER = 2**31 - 1

When = str | datetime


@dataclass(frozen=True)
class Page:
    """A part of a query's result; `total` counts all of it."""

    skills: list[Skill]
    total: int
    offset: int

    @property
    def next_offset(self) -> int | None:
        """The offset of the next page; None after the last."""
        end = self.offset + len(self.skills)
        return end if end < self.total and self.skills else None

    def __iter__(self) -> Iterator[Skill]:
        return iter(self.skills)

    def __len__(self) -> int:
        return len(self.skills)

    def _repr_html_(self) -> str:
        keys = ("name", "status", "tier", "version", "utility", "uses", "description")
        return html_table(([getattr(skill, key) for key in keys] for skill in self), keys)


class SkillQuery(Part):
    """Questions about the library. Each skill is seen at its live version, else at its newest."""

    def query(
        self,
        *,
        status: str | None = None,
        utility: tuple[float | None, float | None] | None = None,
        uses: tuple[int | None, int | None] | None = None,
        family: str | None = None,
        author: str | None = None,
        pinned: bool | None = None,
        min_tier: str | None = None,
        since: When | None = None,
        until: When | None = None,
        text: str | None = None,
        order_by: OrderBy = "name",
        descending: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> Page:
        """Returns the skills that pass every filter given, a page at a time.

        Args:
            status: `staged`, `live`, `retired` or `quarantined`.
            utility: At least and at most; either may be None. Skills that were never used pass no utility filter.
            uses: At least and at most.
            family: The family of tasks that they served or were written for.
            author: The writer of the version that is seen: `human`, `generator` or `import`.
            pinned: Pinned, or not.
            min_tier: The version that is seen has this trust tier or a higher one.
            since: Added at this time or later; a datetime or an ISO 8601 text, in UTC unless it says otherwise.
            until: Added before this time.
            text: Found in name, description or text, whatever its case.
            order_by: `name`, `utility`, `uses`, `wins` or `created_at`.
            descending: The highest first; skills without a utility come last either way.
            limit: Skills a page, up to 1,000.
            offset: Skills to pass over.

        Raises:
            ConfigurationError: a filter is not what it should be.
        """
        versions.check_status(status)
        _check(author, order_by, limit, offset)
        _check_texts(family=family, text=text)
        if pinned is not None and not isinstance(pinned, bool):
            raise ConfigurationError(f"pinned is {pinned!r}; give True or False")
        other = aliased(SkillVersionRow)
        newest = select(func.max(other.number)).where(col(other.skill_id) == col(SkillRow.id)).correlate(SkillRow)
        seen = func.coalesce(SkillRow.live_version, newest.scalar_subquery())
        conditions: list[ColumnElement[bool]] = [
            col(SkillRow.namespace) == self._namespace,
            col(SkillVersionRow.skill_id) == col(SkillRow.id),
            col(SkillVersionRow.number) == seen,
            *_between(col(SkillRow.utility), utility, "utility"),
            *_between(col(SkillRow.uses), uses, "uses"),
        ]
        if status is not None:
            conditions.append(col(SkillRow.status) == status)
        if author is not None:
            conditions.append(col(SkillVersionRow.author) == author)
        if pinned is not None:
            conditions.append(col(SkillRow.pinned).is_(pinned))
        if min_tier is not None:
            conditions.append(col(SkillVersionRow.tier).in_(TIERS[rank(min_tier) :]))
        if since is not None:
            conditions.append(col(SkillRow.created_at) >= moment(since, "since"))
        if until is not None:
            conditions.append(col(SkillRow.created_at) < moment(until, "until"))
        if text is not None:
            fields = (col(SkillRow.name), col(SkillVersionRow.description), col(SkillVersionRow.text))
            conditions.append(or_(*(field.icontains(text, autoescape=True) for field in fields)))
        order = col(getattr(SkillRow, order_by))
        with self._partition.read() as session:
            if family is not None:
                conditions.append(col(SkillRow.id).in_(_of_family(session, self._namespace, family)))
            total = session.exec(select(func.count()).select_from(SkillRow, SkillVersionRow).where(*conditions)).one()
            statement = select(SkillRow, SkillVersionRow).where(*conditions)
            statement = statement.order_by(
                order.is_(None), order.desc() if descending else order.asc(), col(SkillRow.name)
            )
            rows = session.exec(statement.limit(limit).offset(offset)).all()
            return Page([versions.view(session, *row) for row in rows], total, offset)

    def lift(self, name: str) -> Lift:
        """Returns how much a skill helps: reward with it minus reward of paired control rollouts, with an interval."""
        with self._partition.read() as session:
            skill = versions.find_skill(session, self._namespace, name)
            return lift_of(session, self._namespace, skill.id)


def _of_family(session: Session, namespace: str, family: str) -> list[str]:
    """Returns the ids of the skills that served a task of a family, or were written for one.

    From the family's tasks, by an index to their rollouts: to ask each skill would read every rollout of those that never did.
    """
    tasks = select(TaskRow.id).where(TaskRow.namespace == namespace, TaskRow.family == family)
    served, born = (
        rows_of(col(row.skill_id))
        .where(col(row.namespace) == namespace, col(row.task_id).in_(tasks), col(row.skill_id).is_not(None))
        .distinct()
        for row in (RolloutRow, RevisionRow)
    )
    return [*session.connection().execute(union(served, born)).scalars()]


def _between(
    column: Mapped[Any], limits: tuple[float | None, float | None] | None, name: str
) -> list[ColumnElement[bool]]:
    if limits is None:
        return []
    if not isinstance(limits, tuple) or len(limits) != 2 or not all(map(_is_limit, limits)):
        raise ConfigurationError(f"{name} is {limits!r:.80}; give numbers (at least, at most), either may be None")
    low, high = limits
    return [
        *([column >= low] if low is not None else []),
        *([column <= high] if high is not None else []),
    ]


def _is_limit(value: object) -> bool:
    # What is larger than a column's integers is not a number to compare them with; NaN is larger than nothing.
    return value is None or (isinstance(value, int | float) and abs(value) <= MAX_NUMBER)


def moment(value: When, name: str) -> datetime:
    """Returns a time that was given as a filter, in UTC.

    Raises:
        ConfigurationError: it is not one.
    """
    try:
        given = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except (OverflowError, TypeError, ValueError) as exc:
        raise ConfigurationError(
            f"{name} is {value!r:.80}; give a date such as 2026-11-20 or 2026-11-20T08:00:00Z"
        ) from exc


def _check(author: str | None, order_by: str, limit: int, offset: int) -> None:
    if author is not None and author not in get_args(Author):
        raise ConfigurationError(f"{author!r:.80} is not an author; use one of {', '.join(get_args(Author))}")
    if order_by not in get_args(OrderBy):
        raise ConfigurationError(f"cannot order by {order_by!r:.80}; use one of {', '.join(get_args(OrderBy))}")
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in (limit, offset))
    if not whole or not 1 <= limit <= MAX_LIMIT or not 0 <= offset <= MAX_NUMBER:
        raise ConfigurationError(
            f"limit {limit!r:.80} and offset {offset!r:.80}: a page has 1 to {MAX_LIMIT} skills, from offset 0"
        )


def _check_texts(**given: object) -> None:
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"{name} is {value!r:.80}; give a text")
