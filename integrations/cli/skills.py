"""`skill-plugin search`, `skill-plugin skills ...`: questions to the library, and additions to it."""

import difflib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markdown import Markdown
from rich.text import Text

from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.integrations.cli.console import out, print_json, print_table
from skill_plugin.integrations.cli.options import Json, command
from skill_plugin.integrations.wiring import open_store
from skill_plugin.records import Skill, split_ref
from skill_plugin.settings import Settings
from skill_plugin.skills import skill_md

if TYPE_CHECKING:
    from skill_plugin.store import SkillStore

skills = typer.Typer(help="Look at the library and change it.", no_args_is_help=True)

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
    as_json: Json = False,
) -> None:
    """Find the skills for a task."""
    with open_store(settings, create=False, index=False) as store:
        found = store.search(query, k, strategy=strategy, family=family)
    hits = [asdict(hit) | {"ref": hit.ref, "dense": hit.why["dense"], "lexical": hit.why["lexical"]} for hit in found]
    if as_json:
        print_json(hits)
    elif hits:
        columns = {"score": "score", "dense": "dense", "lexical": "lexical", "name": "name", "ref": "skill@version"}
        print_table("skills", hits, columns | {"utility": "utility", "description": "description"})
    else:
        out.print(Text(f"none: {found.reason}"))


@command(skills, "list")
def list_skills(
    settings: Settings,
    status: Annotated[str | None, typer.Option(help="staged, live, retired or quarantined.")] = None,
    min_utility: Annotated[float | None, typer.Option(help="Utility at least this.")] = None,
    max_utility: Annotated[float | None, typer.Option(help="Utility at most this.")] = None,
    family: Annotated[str | None, typer.Option(help="Served tasks of this family, or were written for one.")] = None,
    author: Annotated[str | None, typer.Option(help="human, generator or import.")] = None,
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
        columns = ("name", "status", "version", "utility", "uses", "wins", "author", "description")
        print_table("skills", rows, dict(zip(columns, columns, strict=True)))
        if page.next_offset is not None:
            out.print(Text(f"{len(rows)} of {page.total}; continue with --offset {page.next_offset}"))


@command(skills, "show")
def show(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Show one skill: its text, its versions, whether it helps and how sure that is."""
    with open_store(settings, create=False, index=False) as store:
        skill, versions, lift = store.get(name), store.versions(split_ref(name)[0]), store.lift(split_ref(name)[0])
    if as_json:
        print_json(asdict(skill) | {"versions": versions, "lift": asdict(lift), "helps": lift.sentence})
        return
    out.print(Text(f"{skill.name}  {skill.ref}  {skill.status}{'  pinned' if skill.pinned else ''}", style="bold"))
    out.print(Text(skill.description))
    used = (
        "never used"
        if skill.utility is None
        else f"utility {skill.utility:.2f}, {skill.wins} of {skill.uses} uses passed"
    )
    out.print(Text(f"{lift.sentence} ({used})", style="italic"))
    out.print()
    out.print(Markdown(skill_md.parse(skill.text).body))
    out.print()
    rows = [asdict(version) for version in versions]
    columns = ("number", "status", "generation", "parent", "author", "created_at")
    print_table("versions", rows, dict(zip(columns, columns, strict=True)))


@command(skills, "add")
def add(
    settings: Settings,
    path: Annotated[Path | None, typer.Argument(help="A SKILL.md, or the folder that holds one.")] = None,
    name: Annotated[str | None, typer.Option(help="Instead of a file: the name.")] = None,
    description: Annotated[str | None, typer.Option(help="Instead of a file: when to use it.")] = None,
    body: Annotated[str | None, typer.Option(help="Instead of a file: the procedure.")] = None,
    as_json: Json = False,
) -> None:
    """Add a skill; it is live at once."""
    parts = (name, description, body)
    if (path is None) == all(part is None for part in parts):
        raise ConfigurationError("give either a SKILL.md file, or --name, --description and --body")
    text = (
        read_skill(path) if path else skill_md.render(skill_md.SkillDocument(name or "", description or "", body or ""))
    )
    skill_md.parse(text)  # a wrong text must not make a store
    with open_store(settings, create=True) as store:
        _told(store.add_text(text), "added", as_json=as_json)


@command(skills, "revise")
def revise(
    settings: Settings,
    name: Name,
    path: Annotated[Path, typer.Argument(help="The new SKILL.md, or the folder that holds it.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Write a new version of a skill; it waits, staged, until it is promoted."""
    text = read_skill(path)
    with open_store(settings, create=False, index=False) as store:
        _told(store.revise_text(name, text), "staged", as_json=as_json)


@command(skills, "import")
def import_skills(
    settings: Settings,
    path: Annotated[
        Path, typer.Argument(help="A SKILL.md, a folder of skills, a .zip or a .tar.gz.", show_default=False)
    ],
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave invalid skills out, take the rest.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Leave aside the utility that an export recorded.")] = False,
    as_json: Json = False,
) -> None:
    """Import skills in the Agent Skills format: all of them, or none."""
    with open_store(settings, create=True) as store:
        report = store.import_skills(path, skip_invalid=skip_invalid, fresh=fresh)
    if as_json:
        print_json(report)
        return
    rows = [
        {"what": what, "skills": len(names), "names": ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")}
        for what, names in (
            ("added", report.added),
            ("staged, a version of a known name", report.staged),
            ("staged, for people only", report.for_people),
            ("already there", report.already_there),
            ("refused", list(report.refused)),
        )
        if names
    ]
    print_table(f"imported from {path}", rows, {"what": "what", "skills": "skills", "names": "names"})
    if report.unsigned:
        many = "1 skill starts" if len(report.unsigned) == 1 else f"{len(report.unsigned)} skills start"
        out.print(
            Text(f"{many} fresh: the utility and the uses that a file brings count only if this store signed them")
        )
    if report.left_out_files:
        out.print(Text(f"{report.left_out_files} other files were left out: a skill is its SKILL.md"))


@command(skills, "export")
def export_skills(
    settings: Settings,
    path: Annotated[Path, typer.Argument(help="A folder, or a .zip.", show_default=False)],
    names: Annotated[list[str] | None, typer.Argument(help="The skills to export \\[default: all live ones].")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over the SKILL.md files that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Export skills in the Agent Skills format, with lineage and utility under metadata."""
    with open_store(settings, create=False, index=False) as store:
        written = store.export_skills(path, names or None, replace=replace)
    if as_json:
        print_json({"path": str(path), "skills": [skill.ref for skill in written]})
    else:
        out.print(Text(f"exported {len(written)} skills to {path}"))


@command(skills, "history")
def history(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Tell the life of a skill."""
    with open_store(settings, create=False, index=False) as store:
        rows = [asdict(event) for event in store.history(split_ref(name)[0])]
    if as_json:
        print_json(rows)
    else:
        columns = ("at", "kind", "version", "by", "reason")
        print_table(f"history of {name}", rows, dict(zip(columns, columns, strict=True)))


@command(skills, "diff")
def diff(
    settings: Settings,
    name: Name,
    old: Annotated[int | None, typer.Argument(help="A version \\[default: the newer one's parent].")] = None,
    new: Annotated[int | None, typer.Argument(help="A version \\[default: the newest].")] = None,
    as_json: Json = False,
) -> None:
    """Show what changed between two versions."""
    with open_store(settings, create=False, index=False) as store:
        before, after = _pair(store, split_ref(name)[0], old, new)
    lines = list(
        difflib.unified_diff(
            before.text.splitlines(),
            after.text.splitlines(),
            f"{before.name}@{before.version}",
            f"{after.name}@{after.version}",
            lineterm="",
        )
    )
    if as_json:
        print_json({"name": after.name, "old": before.version, "new": after.version, "diff": lines})
    for line in () if as_json else lines:
        out.print(Text(line, style={"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")), soft_wrap=True)


def read_skill(path: Path) -> str:
    """Reads the text of a SKILL.md file or folder; never more than a skill may have."""
    file = path / "SKILL.md" if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            content = opened.read(skill_md.MAX_BYTES + 1)
        # A text that is too long may be cut inside a character; its length is what is wrong with it.
        return content.decode("utf-8", "replace" if len(content) > skill_md.MAX_BYTES else "strict")
    except OSError as exc:
        raise InvalidSkillError(f"{str(file)!r} cannot be read: {exc.strerror}; give a SKILL.md or its folder") from exc
    except UnicodeDecodeError as exc:
        raise InvalidSkillError(f"{str(file)!r} is not UTF-8 (byte {exc.start}); save it as UTF-8") from exc


def _pair(store: "SkillStore", name: str, old: int | None, new: int | None) -> tuple[Skill, Skill]:
    versions = store.versions(name)
    after = store.get(f"{name}@{versions[-1].number if new is None else new}")
    before = after.parent if old is None else old
    if before is None:
        raise ConfigurationError(f"{name!r} version {after.version} has no parent to compare with; name two versions")
    return store.get(f"{name}@{before}"), after


def _told(skill: Skill, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(skill))
    else:
        out.print(Text(f"{done} {skill.name} version {skill.version} ({skill.ref}), {skill.status}"))
