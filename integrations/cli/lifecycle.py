"""`skill-plugin skills promote | rollback | retire | restore | quarantine | pin | unpin | prune`: the life of skills.

Nothing here deletes. Every command can be undone by another.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from skill_plugin.integrations.cli.console import out, print_json, print_table
from skill_plugin.integrations.cli.options import Json, command
from skill_plugin.integrations.cli.skills import Name, skills
from skill_plugin.integrations.wiring import open_store
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from skill_plugin.records import Skill
    from skill_plugin.store import SkillStore

__all__ = ["skills"]

Reason = Annotated[str, typer.Option(help="Why; it is kept in the skill's history.")]


@command(skills, "promote")
def promote(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Make a version live: the one named, else the newest that the scanner does not hold. Naming a held one (NAME@2) releases it."""
    _change(settings, lambda store: store.promote(name), "promoted", as_json=as_json)


@command(skills, "rollback")
def rollback(
    settings: Settings,
    name: Name,
    version: Annotated[
        int | None, typer.Option(help="The version to go back to \\[default: the live one's parent].")
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Go back to an earlier version."""
    _change(settings, lambda store: store.rollback(name, version, reason=reason), "rolled back", as_json=as_json)


@command(skills, "retire")
def retire(settings: Settings, name: Name, reason: Reason = "", as_json: Json = False) -> None:
    """Take a skill out of search."""
    _change(settings, lambda store: store.retire(name, reason=reason), "retired", as_json=as_json)


@command(skills, "restore")
def restore(settings: Settings, name: Name, reason: Reason = "", as_json: Json = False) -> None:
    """Bring a retired or quarantined skill back; NAME@2 releases a version that the scanner holds."""
    _change(settings, lambda store: store.restore(name, reason=reason), "restored", as_json=as_json)


@command(skills, "quarantine")
def quarantine(settings: Settings, name: Name, reason: Reason = "", as_json: Json = False) -> None:
    """Take a skill that is not to be trusted out of search."""
    _change(settings, lambda store: store.quarantine(name, reason=reason), "quarantined", as_json=as_json)


@command(skills, "pin")
def pin(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Protect a skill from pruning."""
    _change(settings, lambda store: store.pin(name), "pinned", as_json=as_json)


@command(skills, "unpin")
def unpin(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Take the protection away."""
    _change(settings, lambda store: store.unpin(name), "unpinned", as_json=as_json)


@command(skills, "prune")
def prune(
    settings: Settings,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show each decision, change nothing.")] = False,
    capacity: Annotated[
        int | None, typer.Option(help="Live skills to keep \\[default: the setting capacity, 5000].")
    ] = None,
    include_human: Annotated[
        bool, typer.Option("--include-human", help="Also retire skills that a person wrote.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Retire what the evidence is against and what is over capacity; each decision with its reason."""
    with open_store(settings, create=False, index=not dry_run) as store:
        decisions = store.prune(dry_run=dry_run, capacity=capacity, include_human=include_human)
    rows = [asdict(decision) for decision in decisions]
    if as_json:
        print_json(rows)
        return
    columns = ("name", "action", "utility", "uses", "lift", "reason")
    print_table("prune (dry run)" if dry_run else "prune", rows, dict(zip(columns, columns, strict=True)))
    retired = sum(decision.action == "retire" for decision in decisions)
    out.print(Text(f"{retired} to retire of {len(rows)}" if dry_run else f"retired {retired} of {len(rows)}"))
    if retired and not dry_run:
        out.print(Text("to undo: skill-plugin skills restore NAME"))


def _change(settings: Settings, change: "Callable[[SkillStore], Skill]", done: str, *, as_json: bool) -> None:
    with open_store(settings, create=False) as store:
        skill = change(store)
    if as_json:
        print_json(asdict(skill))
    else:
        out.print(Text(f"{done} {skill.name} version {skill.version} ({skill.ref}), {skill.status}"))
