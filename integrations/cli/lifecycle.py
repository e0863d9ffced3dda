"""`skill-plugin skills promote | certify | rescan | revert | rollback | retire | restore | quarantine | pin | unpin | prune`: the life of skills.

Nothing here deletes. Every command can be undone by another.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from skill_plugin.integrations.cli.skills import Name, skills
from skill_plugin.integrations.cli.terminal.console import note, out, print_json, print_table
from skill_plugin.integrations.cli.terminal.options import Json, command
from skill_plugin.integrations.wiring import open_store
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from skill_plugin.records import Skill
    from skill_plugin.store import SkillStore

__all__ = ["skills"]

Reason = Annotated[str, typer.Option(help="Why; it is kept in the skill's history.")]


@command(skills, "promote")
def promote(settings: Settings, name: Name, reason: Reason = "", as_json: Json = False) -> None:
    """Make a version live: the one named, else the newest that waits. With --reason its tier is vetted. Naming a held one (NAME@2) releases it."""
    _change(settings, lambda store: store.promote(name, reason=reason), "promoted", as_json=as_json)


@command(skills, "certify")
def certify(
    settings: Settings,
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the skill's history.", show_default=False)],
    version: Annotated[int | None, typer.Option(help="The version \\[default: the live one].")] = None,
    as_json: Json = False,
) -> None:
    """Give a version the highest trust tier, certified."""
    from skill_plugin.store import certify_skill  # noqa: PLC0415 - SQLModel takes half a second

    _change(settings, lambda store: certify_skill(store, name, version, reason=reason), "certified", as_json=as_json)


@command(skills, "rescan")
def rescan(
    settings: Settings,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Name what is found, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Scan the live texts again; one in which something is found falls to the lowest trust tier. It stays live: you decide."""
    from skill_plugin.store import rescan_skills  # noqa: PLC0415

    with open_store(settings, create=False, index=False) as store:
        found = rescan_skills(store, dry_run=dry_run)
    if as_json:
        print_json(found._asdict() | {"suspects": [one._asdict() for one in found.suspects]})
        return
    for one in found.suspects:
        out.print(Text(f"{one.ref} ({one.tier}): {one.found}"), soft_wrap=True)
    out.print(Text(f"{found.read} texts scanned, {len(found.suspects)} with a finding"))
    if found.suspects:
        ref = found.suspects[0].ref
        note(f"to decide: skills quarantine NAME, or if it is sound: skills promote {ref} --reason WHY")


@command(skills, "revert")
def revert(
    settings: Settings,
    source: Annotated[
        str,
        typer.Option(
            help="Who wrote it: human, generator, import, proposed, dump, a model, a checkpoint, a run's id, or a path.",
            show_default=False,
        ),
    ],
    since: Annotated[str, typer.Option(help="Written on this date, or at this time, or later.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Undo what a source wrote: live versions give way to the one before, staged ones are held; nothing is deleted."""
    from skill_plugin.store import revert_source  # noqa: PLC0415

    with open_store(settings, create=False, index=not dry_run) as store:
        found = revert_source(store, source, since=since, dry_run=dry_run)
    if as_json:
        print_json(asdict(found))
        return
    for one in found.skills:
        numbers = ", ".join(map(str, one.versions))
        what = f"went back to version {one.live}" if one.action == "went back" else one.action
        out.print(Text(f"{one.name}: {what} (written by {source}: version {numbers})"), soft_wrap=True)
    if found.outcomes:
        note(f"{found.outcomes} outcomes that {source} reported still count: a moving average cannot be reckoned back")
    out.print(Text(f"{len(found.skills)} skills {'to revert' if dry_run else 'reverted'}"))
    if found.skills and not dry_run:
        note("to undo: skill-plugin skills promote NAME@N")


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
def pin(settings: Settings, name: Name, reason: Reason = "", as_json: Json = False) -> None:
    """Protect a skill from pruning."""
    _change(settings, lambda store: store.pin(name, reason=reason), "pinned", as_json=as_json)


@command(skills, "unpin")
def unpin(settings: Settings, name: Name, reason: Reason = "", as_json: Json = False) -> None:
    """Take the protection away."""
    _change(settings, lambda store: store.unpin(name, reason=reason), "unpinned", as_json=as_json)


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
        out.print(Text(f"{done} {skill.name} version {skill.version} ({skill.ref}), {skill.status}, {skill.tier}"))
