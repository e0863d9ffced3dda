"""`skill-plugin search`, `skill-plugin skills ...`: questions to the library, and additions to it."""

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.markdown import Markdown
from rich.text import Text

from skill_plugin.errors import ConfigurationError, SkillPluginError
from skill_plugin.integrations.cli.terminal.console import fail, note, out, print_json, print_table
from skill_plugin.integrations.cli.terminal.options import Json, command
from skill_plugin.integrations.cli.terminal.texts import edited, read_folder, remove
from skill_plugin.integrations.wiring import open_store
from skill_plugin.records import Skill, Status, split_ref
from skill_plugin.scanning.findings import sentence
from skill_plugin.settings import Settings
from skill_plugin.skills import skill_md

if TYPE_CHECKING:
    from skill_plugin.store import SkillStore

skills = typer.Typer(help="Look at the library and change it.", no_args_is_help=True)

_RELEASE = "skill-plugin skills promote"

Name = Annotated[str, typer.Argument(help="A skill's name or id; with @2 its second version.", show_default=False)]


def search(
    settings: Settings,
    query: Annotated[str, typer.Argument(help="The task, in words.", show_default=False)],
    k: Annotated[int, typer.Option("-k", help="The most skills to show.")] = 3,
    strategy: Annotated[
        str, typer.Option(help="hybrid, dense, lexical, same-family, query-embedding or query-ngram.")
    ] = "hybrid",
    family: Annotated[
        str | None, typer.Option(help="For same-family: the family of tasks that the skills served.")
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="The floor: leave out what is less alike than this \\[default: 0.25]."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the skills for a task."""
    from skill_plugin.store import DEFAULT_MIN_SCORE  # noqa: PLC0415 - the store takes half a second to import

    with open_store(settings, create=False, index=False) as store:
        floor = DEFAULT_MIN_SCORE if min_score is None else min_score
        found = store.search(query, k, strategy=strategy, family=family, min_score=floor)
    hits = [asdict(hit) | {"ref": hit.ref, "dense": hit.why["dense"], "lexical": hit.why["lexical"]} for hit in found]
    if as_json:
        print_json(hits)
    elif hits:
        columns = {"score": "score", "dense": "dense", "lexical": "lexical", "name": "name", "ref": "skill@version"}
        columns |= {"utility": "utility", "description": "description"}
        print_table("skills", hits, columns, alone=True)
    else:
        note(f"none: {found.reason}")
    if hits and found.held_back and not as_json:
        note(f"held back: {', '.join(f'{name} ({why})' for name, why in found.held_back.items())}")


@command(skills, "list")
def list_skills(
    settings: Settings,
    status: Annotated[str | None, typer.Option(help="staged, live, retired or quarantined.")] = None,
    min_utility: Annotated[float | None, typer.Option(help="Utility at least this.")] = None,
    max_utility: Annotated[float | None, typer.Option(help="Utility at most this.")] = None,
    family: Annotated[str | None, typer.Option(help="Served tasks of this family, or were written for one.")] = None,
    author: Annotated[str | None, typer.Option(help="human, generator or import.")] = None,
    min_tier: Annotated[str | None, typer.Option(help="This trust tier or a higher one.")] = None,
    since: Annotated[str | None, typer.Option(help="Added on this date or later.")] = None,
    until: Annotated[str | None, typer.Option(help="Added before this date.")] = None,
    text: Annotated[str | None, typer.Option(help="Found in name, description or text.")] = None,
    order_by: Annotated[str, typer.Option(help="name, utility, uses, wins or created_at.")] = "name",
    descending: Annotated[bool, typer.Option("--descending", help="The highest first.")] = False,
    limit: Annotated[int, typer.Option(help="Skills a page, up to 1000.")] = 100,
    offset: Annotated[int, typer.Option(help="Skills to pass over.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to a file: .json, .jsonl, .csv or .parquet.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the skills that pass every filter."""
    with open_store(settings, create=False, index=False) as store:
        page = store.query(
            status=status,
            utility=None if min_utility is None and max_utility is None else (min_utility, max_utility),
            family=family,
            author=author,
            min_tier=min_tier,
            since=since,
            until=until,
            text=text,
            order_by=order_by,  # type: ignore[arg-type] # the store says what it may be
            descending=descending,
            limit=limit,
            offset=offset,
        )
    rows = [asdict(skill) for skill in page]
    if output is not None:
        from skill_plugin.exports import write_rows  # noqa: PLC0415

        write_rows(output, rows)
        out.print(Text(f"wrote {len(rows)} of {page.total} skills to {output}"))
    elif as_json:
        print_json(rows)
    else:
        columns = ("status", "name", "version", "utility", "uses", "wins", "author", "tier", "description")
        print_table("skills", rows, dict(zip(columns, columns, strict=True)), alone=True)
        for row in rows:
            if row["held"]:
                note(f"{row['name']}@{row['version']} is held: {row['held']}")
        if rows:
            counts = Counter(row["status"] for row in rows)
            note(", ".join(f"{counts[one]} {one}" for one in get_args(Status) if counts[one]))
        if page.next_offset is not None:
            note(f"{len(rows)} of {page.total}; continue with --offset {page.next_offset}")


@command(skills, "show")
def show(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Show one skill: its text, its functions and whether agents are offered them, its versions, whether it helps and how sure that is."""
    from skill_plugin.store import may_run, scan_text, tree_of  # noqa: PLC0415 - the store takes half a second to import

    with open_store(settings, create=False, index=False) as store:
        skill, versions, lift = store.get(name), store.versions(split_ref(name)[0]), store.lift(split_ref(name)[0])
        seen = store.runs.sightings(name)
        tree = tree_of(store, skill.ref)
        scanned = scan_text(store, skill.text, tree)
        runs = may_run(store, skill.ref)
        functions, checks = _functions(store, skill)
    if as_json:
        found = {
            "functions": functions,
            "checks": checks,
            "scan": [one._asdict() for one in scanned],
            "versions": versions,
            "lift": asdict(lift),
            "helps": lift.sentence,
            "seen": asdict(seen),
            "files": [{"path": file.path, "bytes": len(file.data), "sha256": file.sha256} for file in tree],
            "may_run": runs,
        }
        print_json(asdict(skill) | found)
        return
    out.print(
        Text(
            f"{skill.name}  {skill.ref}  {skill.status}  {skill.tier}{'  pinned' if skill.pinned else ''}", style="bold"
        )
    )
    out.print(Text(skill.description))
    if skill.held:
        from skill_plugin.store.skills.screening import held_by  # noqa: PLC0415

        out.print(
            Text(f"{held_by(skill.held)}; to release it: {_RELEASE} {skill.name}@{skill.version}"),
            style="red",
        )
    elif scanned:
        out.print(Text(f"the scanner finds: {sentence(scanned)}"))
    used = (
        "no use of it was credited"
        if skill.utility is None
        else f"utility {skill.utility:.2f}, {skill.wins} of {skill.uses} uses passed"
    )
    out.print(Text(f"{lift.sentence} ({used}; {seen.sentence})", style="italic"))
    out.print()
    body = skill_md.parse(skill.text).body
    out.print(Markdown(body) if sys.stdout.isatty() else Text(body))
    out.print()
    if functions:
        offered = [
            row
            | {
                "tools": ", ".join(row["tools"]),
                "why_not": row["why_not"] or ("yes, it only reads" if row.get("only_reads") else "yes"),
            }
            for row in functions
        ]
        columns_of = {"function": "function", "path": "file", "tools": "tools", "why_not": "offered"}
        print_table("functions", offered, columns_of)
        if checks:
            out.print(Text(f"{checks.get('passed', 0)} of {checks.get('total', 0)} tests passed"))
    rows = [asdict(version) for version in versions]
    columns = ("number", "status", "generation", "parent", "author", "tier", "created_at")
    print_table("versions", rows, dict(zip(columns, columns, strict=True)))
    if tree:
        rows = [
            {"file": one.path, "bytes": len(one.data), "kind": "binary" if one.text is None else "text"} for one in tree
        ]
        print_table("files", rows, {"file": "file", "bytes": "bytes", "kind": "kind"})
        allowed = "allowed" if runs else "has not allowed"
        out.print(Text(f"an operator {allowed} the functions of version {skill.version} to run"))


@command(skills, "add")
def add(
    settings: Settings,
    path: Annotated[
        Path | None, typer.Argument(help="A SKILL.md, a folder with all its files, or - for standard input.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Instead of a file: the name.")] = None,
    description: Annotated[str | None, typer.Option(help="Instead of a file: when to use it.")] = None,
    body: Annotated[str | None, typer.Option(help="Instead of a file: the procedure.")] = None,
    as_json: Json = False,
) -> None:
    """Add a skill; it is live at once, unless the scanner holds it."""
    parts = (name, description, body)
    if (path is None) == all(part is None for part in parts):
        raise ConfigurationError("give either a SKILL.md file, or --name, --description and --body")
    document = skill_md.SkillDocument(name or "", description or "", body or "")
    text, files = read_folder(path, settings.tree_limits) if path else (skill_md.render(document), None)
    skill_md.parse(text)  # a wrong text must not make a store
    with open_store(settings, create=True) as store:
        _told(store.add_text(text, files=files), "added", as_json=as_json)


@command(skills, "revise")
def revise(
    settings: Settings,
    name: Name,
    path: Annotated[
        Path,
        typer.Argument(
            help="The new SKILL.md (the files stay), its folder (they are replaced), or -.", show_default=False
        ),
    ],
    as_json: Json = False,
) -> None:
    """Write a new version of a skill; it waits, staged, until it is promoted."""
    text, files = read_folder(path, settings.tree_limits)
    with open_store(settings, create=False, index=False) as store:
        _told(store.revise_text(name, text, files=files), "staged", as_json=as_json)


@command(skills, "edit")
def edit(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Open a skill in your editor ($VISUAL, $EDITOR); what you save is a new version, staged until it is promoted."""
    with open_store(settings, create=False, index=False) as store:
        skill = store.get(name)
    # The store is closed meanwhile: somebody may think for an hour.
    text, file = edited(skill.text, skill.name)
    if text == skill.text:
        remove(file)
        out.print(Text(f"{skill.name} is unchanged"))
        return
    try:
        skill_md.parse(text)
        with open_store(settings, create=False, index=False) as store:
            _told(store.revise_text(name, text), "staged", as_json=as_json)
    except SkillPluginError as exc:
        again = f"skill-plugin skills revise {name} {file}"
        fail(f"{exc}; your text is kept, correct it there and run: {again}")
    remove(file)


@command(skills, "history")
def history(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Tell the life of a skill."""
    with open_store(settings, create=False, index=False) as store:
        rows = [asdict(event) for event in store.history(split_ref(name)[0])]
    if as_json:
        print_json(rows)
    else:
        columns = ("at", "kind", "version", "by", "reason")
        print_table(f"history of {name}", rows, dict(zip(columns, columns, strict=True)), alone=True)


@command(skills, "diff")
def diff(
    settings: Settings,
    name: Name,
    old: Annotated[int | None, typer.Argument(help="A version \\[default: the newer one's parent].")] = None,
    new: Annotated[int | None, typer.Argument(help="A version \\[default: the newest].")] = None,
    as_json: Json = False,
) -> None:
    """Show what changed between two versions, files included."""
    from skill_plugin.store import diff_versions  # noqa: PLC0415 - the store takes half a second to import

    with open_store(settings, create=False, index=False) as store:
        before, after = _pair(store, split_ref(name)[0], old, new)
        lines = diff_versions(store, before.ref, after.ref)
    if as_json:
        print_json({"name": after.name, "old": before.version, "new": after.version, "diff": lines})
    for line in () if as_json else lines:
        out.print(Text(line, style={"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")), soft_wrap=True)


def _pair(store: "SkillStore", name: str, old: int | None, new: int | None) -> tuple[Skill, Skill]:
    versions = store.versions(name)
    after = store.get(f"{name}@{versions[-1].number if new is None else new}")
    before = after.parent if old is None else old
    if before is None:
        raise ConfigurationError(f"{name!r} version {after.version} has no parent to compare with; name two versions")
    return store.get(f"{name}@{before}"), after


def _functions(store: "SkillStore", skill: Skill) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Returns the functions of a skill and what its tests said; nothing, and nothing imported, for a text alone."""
    if not skill.files:
        return [], {}
    from skill_plugin.integrations.cli.functions import function_rows  # noqa: PLC0415 - LangGraph takes a second
    from skill_plugin.store import checks_of  # noqa: PLC0415

    return function_rows(store, skill.ref), checks_of(store, skill.ref)


def _told(skill: Skill, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(skill))
    else:
        out.print(Text(f"{done} {skill.name} version {skill.version} ({skill.ref}), {skill.status}"))
        if skill.held:
            from skill_plugin.store.skills.screening import held_by  # noqa: PLC0415

            out.print(Text(f"{held_by(skill.held)}; look at it, and if it is sound release it: {_RELEASE} {skill.name}@{skill.version}"), soft_wrap=True)  # fmt: skip
