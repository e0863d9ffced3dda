"""`skill-plugin doctor | reindex | migrate | export | import | erase`: the store as a whole."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from skill_plugin.integrations.cli.terminal.console import note, out, print_json, print_table
from skill_plugin.integrations.cli.terminal.options import Json
from skill_plugin.integrations.cli.terminal.texts import as_file
from skill_plugin.integrations.wiring import open_store
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from skill_plugin.store.doctor import Check


def doctor(
    settings: Settings,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="First make missing and broken vectors anew, and an index that differs; take the tier of suspect texts.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the store; ends with status 1 if something is wrong."""
    with open_store(settings, create=False, check_embedder=False) as store:
        checks = [*store.check(fix=fix), _check_functions(settings)]
        where = store.database.where
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        rows = [asdict(check) | {"state": "ok" if check.ok else "WRONG"} for check in checks]
        columns = {"state": "state", "name": "check", "detail": "detail"}
        print_table(f"store in {where}", rows, columns, alone=True)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _check_functions(settings: Settings) -> "Check":
    """Says what runs the functions of skills here."""
    from skill_plugin.functions import describe_runner  # noqa: PLC0415 - only doctor asks
    from skill_plugin.store.doctor import Check  # noqa: PLC0415 - SQLModel takes half a second

    return Check("functions", *describe_runner(settings.function_runner))


def reindex(settings: Settings, as_json: Json = False) -> None:
    """Make the vector index anew from SQL; with another --embedder, embed all skills again first."""
    with open_store(settings, create=False, check_embedder=False) as store:
        embedded = store.reembed()
        rebuilt = store.rebuild_index()
    if as_json:
        print_json({"embedded": embedded, "rebuilt": rebuilt})
    else:
        where = "rebuilt" if rebuilt else "not rebuilt (another process owns it, or Chroma failed; search uses SQL)"
        out.print(Text(f"embedded {embedded} versions anew; the Chroma index was {where}"))


def migrate(
    settings: Settings,
    to: Annotated[str | None, typer.Option(help="A SQL URL to copy everything to.")] = None,
    as_json: Json = False,
) -> None:
    """Bring the database's schema up to date; with --to, copy every namespace into another database."""
    from skill_plugin.store.dumps.dump import copy  # noqa: PLC0415
    from skill_plugin.store.sql.database import HEAD, Database  # noqa: PLC0415 - SQLModel takes half a second

    with open_store(settings, create=False, index=False, check_embedder=False) as store:
        counts: dict[str, int] = {}
        if to is not None:
            target = Database(to)
            try:
                counts = copy(store.database, target)
            finally:
                target.close()
        where = store.database.where
    if as_json:
        print_json({"database": where, "schema": HEAD, "copied": counts})
        return
    out.print(Text(f"{where} has schema {HEAD}"))
    if to is not None:
        print_table("copied", [{"table": table, "rows": rows} for table, rows in counts.items()], _TABLE)


def export(
    settings: Settings,
    path: Annotated[Path, typer.Argument(help="The file to write, such as store.jsonl.gz.", show_default=False)],
    everything: Annotated[bool, typer.Option("--all", help="Every namespace, not only this one.")] = False,
    as_json: Json = False,
) -> None:
    """Write the whole store to one file: skills, histories, vectors, events."""
    from skill_plugin.store.dumps.dump import dump  # noqa: PLC0415

    with open_store(settings, create=False, index=False, check_embedder=False) as store:
        counts = dump(store.database, path, namespace=None if everything else store.namespace)
    _counted(f"exported to {path}", counts, as_json=as_json)


def import_store(
    settings: Settings,
    path: Annotated[
        Path,
        typer.Argument(help="A file that `skill-plugin export` wrote, or - for standard input.", show_default=False),
    ],
    everything: Annotated[bool, typer.Option("--all", help="Every namespace in it, not only this one.")] = False,
    keep_tiers: Annotated[
        bool,
        typer.Option(
            "--keep-tiers",
            help="It is your own backup: believe what it says of trust tiers, and of functions that you allowed.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Take in a whole store; rows that exist stay as they are, one that no store writes refuses the file, and what the scanner would not
    let in is quarantined.
    """
    from skill_plugin.scanning.scanners import Screen  # noqa: PLC0415
    from skill_plugin.store.dumps.dump import load  # noqa: PLC0415

    with as_file(path) as source, open_store(settings, create=True, check_embedder=False) as store:
        namespace = None if everything else store.namespace
        counts = load(
            store.database, source, namespace=namespace, screen=Screen(settings.scanners), keep_tiers=keep_tiers
        )
    _counted(f"imported from {path}", counts, as_json=as_json)


def forget(
    settings: Settings,
    run: Annotated[str | None, typer.Option(help="A run's id: all that it recorded.", show_default=False)] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="A text, wherever it stands; - reads it from standard input, out of sight.", show_default=False
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Every run imported from there, by its name or its beginning.", show_default=False),
    ] = None,
    older_than: Annotated[
        float | None, typer.Option(help="The texts of runs that are so many days old.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Forget a run, a source, a text or old texts for good, so that nothing is left in the database and its log."""
    if text == "-":
        text = sys.stdin.read().rstrip("\n")
    with open_store(settings, create=False, index=False, check_embedder=False) as store:
        counts = store.runs.forget(run=run, text=text, source=source, older_than=older_than)
        copies = sorted(Path(store.database.path).parent.glob(f"{Path(store.database.path).name}.before-*"))
    if copies:
        note(f"not reached: {copies[-1]}, the copy that a migration made; delete it if it is not needed")
    _counted("forgot", counts, as_json=as_json)


def erase(
    settings: Settings,
    confirm: Annotated[str, typer.Option(help="The namespace's name again.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Delete a whole namespace for good: its skills, histories and vectors."""
    with open_store(settings, create=False, check_embedder=False) as store:
        counts = store.erase(confirm=confirm)
    _counted(f"erased namespace {confirm}", counts, as_json=as_json)


_TABLE = {"table": "table", "rows": "rows"}


def _counted(title: str, counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json(counts)
    else:
        print_table(title, [{"table": table, "rows": rows} for table, rows in counts.items()], _TABLE)
