"""`skill-plugin doctor` and `skill-plugin reindex`: is the store sound, and making its index anew."""

from dataclasses import asdict

import typer
from rich.text import Text

from skill_plugin.integrations.cli.console import out, print_json, print_table
from skill_plugin.integrations.cli.options import Json
from skill_plugin.integrations.wiring import open_store
from skill_plugin.settings import Settings


def doctor(settings: Settings, as_json: Json = False) -> None:
    """Check the store; ends with status 1 if something is wrong."""
    with open_store(settings, create=False) as store:
        checks = store.check()
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        rows = [asdict(check) | {"state": "ok" if check.ok else "WRONG"} for check in checks]
        print_table(f"store in {settings.home}", rows, {"name": "check", "state": "state", "detail": "detail"})
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def reindex(
    settings: Settings,
    as_json: Json = False,
) -> None:
    """Make the vector index anew from SQL; with another --embedder, embed all skills again first."""
    with open_store(settings, create=False, check_embedder=False) as store:
        embedded = store.reembed()
        rebuilt = store.rebuild_index()
    if as_json:
        print_json({"embedded": embedded, "rebuilt": rebuilt})
    else:
        where = "rebuilt" if rebuilt else "not rebuilt (another process owns it, or Chroma failed; search uses SQL)"
        out.print(Text(f"embedded {embedded} versions anew; the Chroma index was {where}"))
