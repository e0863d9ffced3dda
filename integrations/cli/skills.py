"""`skill-plugin search`, `skill-plugin skills ...`: asking the library and adding to it."""

import difflib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markdown import Markdown
from rich.text import Text

from skill_plugin import skill_md
from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.integrations.cli.console import out, print_json, print_table, shown
from skill_plugin.integrations.cli.options import Json, command
from skill_plugin.integrations.wiring import open_store
from skill_plugin.records import Skill, split_ref
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from skill_plugin.store import SkillStore

skills = typer.Typer(help="Look at the library and change it.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A skill's name or id; with @2 its second version.", show_default=False)]


def search(
    settings: Settings,
    query: Annotated[str, typer.Argument(help="What the task is.", show_default=False)],
    k: Annotated[int, typer.Option("-k", help="How many skills at most.")] = 3,
    as_json: Json = False,
) -> None:
    """Find the skills for a task."""
    with open_store(settings, create=False) as store:
        hits = [asdict(hit) | {"ref": hit.ref} for hit in store.search(query, k)]
    if as_json:
        print_json(hits)
    else:
        columns = {"score": "score", "name": "name", "ref": "skill@version", "utility": "utility"}
        print_table("skills", hits, columns | {"description": "description"})


@command(skills, "list")
def list_skills(
    settings: Settings,
    status: Annotated[str | None, typer.Option(help="staged, live, retired or quarantined.")] = None,
    as_json: Json = False,
) -> None:
    """List the skills."""
    with open_store(settings, create=False) as store:
        rows = [asdict(skill) for skill in store.list(status)]
    if as_json:
        print_json(rows)
    else:
        columns = ("name", "status", "version", "utility", "uses", "wins", "author", "description")
        print_table("skills", rows, dict(zip(columns, columns, strict=True)))


@command(skills, "show")
def show(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Show one skill: its text, its versions and whether it helps."""
    with open_store(settings, create=False) as store:
        skill, versions = store.get(name), store.versions(split_ref(name)[0])
    if as_json:
        print_json(asdict(skill) | {"versions": versions})
        return
    out.print(Text(f"{skill.name}  {skill.ref}  {skill.status}", style="bold"))
    out.print(Text(skill.description))
    out.print(Text(_helps(skill), style="italic"))
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
    with open_store(settings, create=False) as store:
        _told(store.revise_text(name, text), "staged", as_json=as_json)


@command(skills, "promote")
def promote(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Make a version live: the one named, else the newest."""
    with open_store(settings, create=False) as store:
        _told(store.promote(name), "promoted", as_json=as_json)


@command(skills, "history")
def history(settings: Settings, name: Name, as_json: Json = False) -> None:
    """Tell the life of a skill."""
    with open_store(settings, create=False) as store:
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
    old: Annotated[int | None, typer.Argument(help="A version [default: the newer one's parent].")] = None,
    new: Annotated[int | None, typer.Argument(help="A version [default: the newest].")] = None,
    as_json: Json = False,
) -> None:
    """Show what changed between two versions."""
    with open_store(settings, create=False) as store:
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
    """The text of a SKILL.md file or folder; never reads more than a skill may have."""
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
    after = store.get(f"{name}@{new or versions[-1].number}")
    before = old or after.parent
    if before is None:
        raise ConfigurationError(f"{name!r} version {after.version} has no parent to compare with; name two versions")
    return store.get(f"{name}@{before}"), after


def _helps(skill: Skill) -> str:
    if skill.utility is None:
        return "Not used yet, so nothing is known of whether it helps."
    return f"Utility {shown(skill.utility)} over {skill.uses} uses, {skill.wins} of them passed."


def _told(skill: Skill, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(skill))
    else:
        out.print(Text(f"{done} {skill.name} version {skill.version} ({skill.ref}), {skill.status}"))
