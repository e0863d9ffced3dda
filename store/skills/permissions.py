"""Whether the functions of a version may run, and what its tests said: facts about a version that follow it nowhere.

A version that a person or a generator writes next, an import and a dump start without either: somebody looked at that text and those
files, not at these.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sqlmodel import Session, col, select

from skill_plugin.errors import ConfigurationError, StoreError
from skill_plugin.records import Skill, canonical_json
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import screening, versions
from skill_plugin.store.tables import EventRow, SkillRow, SkillVersionRow

ALLOWED, FORBIDDEN = "allowed", "forbidden"
"""Events of a version whose functions an operator allowed to run, and of one that lost that."""

TOOLS = "tools"
"""The key of a version's checks under which the hashes of tools are, by name."""


def allow_functions(store: Part, ref: str, *, reason: str, by: str = "human") -> Skill:
    """Allows the functions of one version to run; no other version is allowed by that.

    Args:
        store: The library.
        ref: `name`, `id`, `name@2` or `id@2`; without a version the live one, else the newest.
        reason: Why it is trusted.
        by: Who says so.

    Raises:
        ConfigurationError: no reason is given.
        SkillNotFoundError: the version does not exist.
        StoreError: the version has no files, or it is held or its skill out of use.
    """
    _check_reason(reason, f"allow the functions of {ref!r:.80}")
    return _decide(store, ref, ALLOWED, by=by, reason=reason)


def forbid_functions(store: Part, ref: str, *, reason: str = "", by: str = "human") -> Skill:
    """Takes back that the functions of a version may run; see `allow_functions`."""
    return _decide(store, ref, FORBIDDEN, by=by, reason=reason)


def may_run(store: Part, ref: str) -> bool:
    """Returns whether an operator allowed the functions of a version to run, and it is neither held nor out of use.

    Raises:
        SkillNotFoundError: the version does not exist.
    """
    return not why_not_run(store, ref)


def why_not_run(store: Part, ref: str, tools: Collection[str] | None = None) -> str:
    """Returns why no function of a version may run, in one line; empty if they may. See `may_run`.

    Args:
        store: The library.
        ref: The version.
        tools: The tools that one function calls. If the store was opened with all of them among its `read_only_tools`, nobody has
            to allow it, as long as its version is live and the last that an operator did was not to forbid or to quarantine.

    Raises:
        SkillNotFoundError: the version does not exist.
    """
    partition = store._partition  # noqa: SLF001 - a store has as many names as one can keep in mind
    with partition.read() as session:
        skill, version = versions.resolve(session, partition.namespace, ref)
        if stopped := _stopped(session, skill, version):
            return stopped
        again = f"skill-plugin skills allow {skill.name}@{version.number} --reason WHY"
        may = version.may_run or _may_read(session, partition.read_only_tools, skill, version, tools)
        return "" if may else f"no operator has allowed version {version.number}; look at it, then: {again}"


def function_packages(store: Part) -> tuple[str, ...]:
    """Returns the installed packages that functions may import here, besides Python's library."""
    return store._partition.function_packages  # noqa: SLF001


def checks_of(store: Part, ref: str) -> dict[str, Any]:
    """Returns what `keep_checks` kept of a version; empty if nothing.

    Raises:
        SkillNotFoundError: the version does not exist.
    """
    partition = store._partition  # noqa: SLF001
    with partition.read() as session:
        return dict(versions.resolve(session, partition.namespace, ref)[1].checks)


def keep_checks(store: Part, ref: str, checks: Mapping[str, Any]) -> None:
    """Keeps what a version's tests said, in place of what they said before.

    Raises:
        ConfigurationError: it is not JSON.
        SkillNotFoundError: the version does not exist.
    """
    try:
        canonical_json(dict(checks))
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(f"the checks of {ref!r:.80} are not JSON: {exc}; give numbers and texts") from exc
    partition = store._partition  # noqa: SLF001
    with partition.write() as session:
        _, version = versions.resolve(session, partition.namespace, ref, lock=True)
        version.checks = dict(checks)
        session.add(version)


def keep_tools(store: Part, ref: str, hashes: Mapping[str, str]) -> dict[str, str]:
    """Keeps the hashes of tools beside a version's checks, of those that have none yet; returns those that it has now.

    Args:
        store: The library.
        ref: The version.
        hashes: What `functions.tool_schema_hash` gave of each tool, by name.

    Raises:
        SkillNotFoundError: the version does not exist.
    """
    partition = store._partition  # noqa: SLF001
    with partition.write() as session:
        _, version = versions.resolve(session, partition.namespace, ref, lock=True)
        known = {**hashes, **version.checks.get(TOOLS, {})}
        if known != version.checks.get(TOOLS):
            version.checks = {**version.checks, TOOLS: known}
            session.add(version)
        return known


def _decide(store: Part, ref: str, kind: str, *, by: str, reason: str) -> Skill:
    partition = store._partition  # noqa: SLF001
    with partition.write() as session:
        skill, version = versions.resolve(session, partition.namespace, ref, lock=True)
        if kind == ALLOWED and (stopped := _stopped(session, skill, version)):
            raise StoreError(f"the functions of {skill.name!r} version {version.number} are not allowed: {stopped}")
        said_anew = kind == FORBIDDEN and _last_said(session, skill) != FORBIDDEN
        if version.may_run != (kind == ALLOWED) or said_anew:
            version.may_run = kind == ALLOWED
            session.add(version)
            evidence = {"tree_sha256": version.tree_sha256}
            versions.log_event(session, skill, kind, by=by, version=version.number, reason=reason, evidence=evidence)
        return versions.view(session, skill, version)


def _may_read(
    session: Session,
    read_only: frozenset[str],
    skill: SkillRow,
    version: SkillVersionRow,
    tools: Collection[str] | None,
) -> bool:
    """Returns whether a function that calls these tools may run though nobody allowed its version."""
    if tools is None or not read_only or not read_only.issuperset(tools) or skill.live_version != version.number:
        return False
    return _last_said(session, skill) in (None, ALLOWED)


def _last_said(session: Session, skill: SkillRow) -> str | None:
    """Returns what was last said of any version's functions, or that the skill lost trust; what `evolve` says of its candidates does not count."""
    kinds = (ALLOWED, FORBIDDEN, "quarantined", "demoted")
    said = select(EventRow.kind).where(
        EventRow.skill_id == skill.id, col(EventRow.kind).in_(kinds), ~col(EventRow.by).startswith("evolve ")
    )
    return session.exec(said.order_by(col(EventRow.id).desc()).limit(1)).first()


def _stopped(session: Session, skill: SkillRow, version: SkillVersionRow) -> str:
    """Returns why no function of a version may run, whatever an operator says; empty if nothing stops it."""
    if not version.tree_sha256:
        return "it has no files; import its folder, or add it with files="
    if skill.status in ("retired", "quarantined"):
        return f"the skill is {skill.status}; restore it first: skill-plugin skills restore {skill.name}"
    if (why := versions.held(session, skill).get(version.number)) is not None:
        again = f"skill-plugin skills promote {skill.name}@{version.number}"
        return f"it is {screening.held_by(why)}; look at it, and if it is sound release it first: {again}"
    return ""


def forbid_all(session: Session, skill: SkillRow) -> None:
    """Takes back that any version's functions may run: the skill is not to be trusted."""
    mine = (SkillVersionRow.skill_id == skill.id, col(SkillVersionRow.may_run))
    for version in session.exec(select(SkillVersionRow).where(*mine)).all():
        version.may_run = False
        session.add(version)


def _check_reason(reason: str, what: str) -> None:
    if not reason.strip():
        raise ConfigurationError(f"no reason is given to {what}; say who looked at them, and for what")
