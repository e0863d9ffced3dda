"""`skill-plugin skills import | export | sync`: skills in and out as SKILL.md files."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from skill_plugin.integrations.cli.lifecycle import skills
from skill_plugin.integrations.cli.terminal.console import fail, out, print_json, print_table
from skill_plugin.integrations.cli.terminal.options import Json, command
from skill_plugin.integrations.wiring import open_store
from skill_plugin.settings import Settings
from skill_plugin.skills.folders import read_skills

if TYPE_CHECKING:
    from skill_plugin.store import SkillStore
    from skill_plugin.store.skills.files import SkillImport

__all__ = ["skills"]

SHOWN = 8
"""Lines of one kind that are shown; `--json` has all."""

SAID = {
    "import": ("to import", "imported"),
    "write": ("to write", "written"),
    "retire": ("to retire", "retired"),
    "remove": ("to remove", "removed"),
    "deleted": ("deleted on one side (--delete does it on the other)",) * 2,
}
"""The actions of a sync in words, planned and done."""

Names = Annotated[str, typer.Option(help="For names that the format does not allow: keep (refuse them) or adapt.")]


@command(skills, "import")
def import_skills(
    settings: Settings,
    path: Annotated[
        Path, typer.Argument(help="A SKILL.md, a folder of skills, a .zip or a .tar.gz.", show_default=False)
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Take all of them or, if one is invalid, none.")] = False,
    names: Names = "keep",
    fresh: Annotated[bool, typer.Option("--fresh", help="Leave aside the utility that an export recorded.")] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", hidden=True, help="The default, unless --strict is given.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import skills in the Agent Skills format, with all files of their folders; what is invalid is left out and named."""
    found = read_skills(path, settings.tree_limits)  # what is wrong with it must not make a store
    with open_store(settings, create=True) as store:
        report = store.import_skills(found, skip_invalid=skip_invalid or not strict, fresh=fresh, names=names)  # type: ignore[arg-type] # the store says what it may be
        report.functions = _checked(store, report, settings.function_runner)
    taken = (
        len(report.added) + len(report.staged) + len(report.for_people) + len(report.already_there) + len(report.held)
    )
    if as_json:
        print_json(report)
    else:
        _print(report, path)
    if not taken:
        fail(f"none of the {report.read} skills in {str(path)!r} was imported; correct what was refused")


@command(skills, "export")
def export_skills(
    settings: Settings,
    path: Annotated[Path, typer.Argument(help="A folder, or a .zip.", show_default=False)],
    names: Annotated[list[str] | None, typer.Argument(help="The skills to export \\[default: all live ones].")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over the skills' files that are there.")] = False,
    no_record: Annotated[
        bool, typer.Option("--no-record", help="Write each SKILL.md to the byte, without lineage and utility.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Export skills in the Agent Skills format, with all their files, and lineage and utility under metadata."""
    with open_store(settings, create=False, index=False) as store:
        written = store.export_skills(path, names or None, replace=replace, records=not no_record)
    if as_json:
        print_json({"path": str(path), "skills": [skill.ref for skill in written]})
    else:
        out.print(Text(f"exported {len(written)} skills to {path}"))


@command(skills, "sync")
def sync(
    settings: Settings,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of skills, such as .claude/skills.", show_default=False)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, and change nothing.")] = False,
    prefer: Annotated[
        str | None, typer.Option(help="Whose text counts where both sides changed: store or files.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Do on the other side what was deleted on one.")] = False,
    names: Names = "keep",
    as_json: Json = False,
) -> None:
    """Bring a folder of SKILL.md files and the live skills in step, both ways."""
    from skill_plugin.store import sync_skills  # noqa: PLC0415 - SQLModel takes half a second

    with open_store(settings, create=not dry_run) as store:
        report = sync_skills(store, folder, dry_run=dry_run, prefer=prefer, delete=delete, names=names)  # type: ignore[arg-type] # it says what they may be
    if as_json:
        print_json(report)
    else:
        for step in report.steps:
            end = f" -> {step.result}" if step.result else ""
            out.print(Text(f"{step.action}  {step.name}: {step.why} ({step.where}){end}"), soft_wrap=True)
        print_reasons("refused", report.refused, every=True)
        print_reasons("not read", report.not_read)
        counts = Counter(step.action for step in report.steps if not step.has_failed)
        said = [f"{number} {SAID.get(what, (what, what))[not dry_run]}" for what, number in counts.items()]
        out.print(Text(", ".join([f"{report.unchanged} unchanged", *said])), soft_wrap=True)
    if failed := [step.name for step in report.steps if step.has_failed]:
        fail(f"{', '.join(failed)}: not done; see what is said of each, and sync again")
    if conflicts := report.names("conflict"):
        fail(
            f"{', '.join(conflicts)}: changed on both sides and left alone; decide with --prefer store or --prefer files"
        )


def _checked(store: "SkillStore", report: "SkillImport", function_runner: str) -> dict[str, str]:
    """Runs the tests of what was imported; returns by name what is to be known of a skill's functions."""
    names = (*report.added, *report.staged, *report.for_people)
    newest = [(name, store.versions(name)[-1]) for name in names]
    scripted = {name: one.number for name, one in newest if any(path.startswith("scripts/") for path in one.files)}
    if not scripted:
        return {}
    from skill_plugin.functions import SandboxRunner, runner  # noqa: PLC0415
    from skill_plugin.graphs.staging import check_version  # noqa: PLC0415 - LangGraph takes a second to import

    runs = runner(function_runner)
    if not getattr(runs, "is_contained", True):
        runs = SandboxRunner()  # nobody has looked at the skills yet
    checks = {name: check_version(store, f"{name}@{number}", runs) for name, number in scripted.items()}
    return {name: check.not_run or str(check.report) for name, check in checks.items() if check.functions}


def _print(report: "SkillImport", path: Path) -> None:
    rows = [
        {"what": what, "skills": len(names), "names": ", ".join(names[:SHOWN]) + (", ..." if names[SHOWN:] else "")}
        for what, names in (
            ("added", report.added),
            ("staged, a version of a known name", report.staged),
            ("staged, for people only", report.for_people),
            ("quarantined: the scanner holds it", list(report.held)),
            ("already there", report.already_there),
        )
        if names
    ]
    if rows:
        print_table(f"imported from {path}", rows, {"what": "what", "skills": "skills", "names": "names"})
    imported = len(report.added) + len(report.staged) + len(report.for_people)
    counts = {
        "held": len(report.held),
        "already there": len(report.already_there),
        "refused": len(report.refused),
        "not read": len(report.not_read),
    }
    out.print(Text(", ".join([f"{imported} imported", *(f"{n} {what}" for what, n in counts.items() if n)])))
    print_reasons("refused", report.refused, every=True)
    print_reasons("held", report.held, every=True)
    print_reasons("not read", report.not_read)
    print_reasons("note", report.notes)
    print_reasons("functions", report.functions)
    if report.unsigned:
        many = "1 skill starts" if len(report.unsigned) == 1 else f"{len(report.unsigned)} skills start"
        out.print(Text(f"{many} fresh: the utility that a file brings counts only if this store signed it"))
    if report.left_out_files:
        out.print(Text(f"{report.left_out_files} other files were left out: they belong to no skill"))
    print_lines("left out", (f"{name}: {_few(files)}" for name, files in report.left_out.items()))
    missing = (f"{name}: its text points to {_few(files)}, not in its folder" for name, files in report.missing.items())
    print_lines("incomplete", missing)


def print_reasons(kind: str, reasons: Mapping[str, str], *, every: bool = False) -> None:
    """Prints a line for each place, with what is said of it."""
    print_lines(kind, (f"{where}: {reason}" for where, reason in reasons.items()), every=every)


def print_lines(kind: str, lines: Iterable[str], *, every: bool = False) -> None:
    """Prints lines of one kind: every one, or some and how many more there are."""
    found = list(lines)
    for line in found if every else found[:SHOWN]:
        out.print(Text(f"{kind}  {' '.join(line.split())}"), soft_wrap=True)
    if not every and len(found) > SHOWN:
        out.print(Text(f"{kind}  ... and {len(found) - SHOWN} more; --json has all"))


def _few(files: list[str]) -> str:
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
