"""`skill-plugin health`: one word for a monitor, and the exit status that says the same."""

from typing import TYPE_CHECKING, Annotated

import typer

from skill_plugin.integrations.cli.terminal.console import print_json, print_table, shown
from skill_plugin.integrations.cli.terminal.options import Json
from skill_plugin.integrations.wiring import open_store
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from skill_plugin.integrations.health import Health

STATUS = {"healthy": 0, "degraded": 1, "down": 2}


def health(
    settings: Settings,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that the check may take.")] = 10.0,
    write: Annotated[
        bool,
        typer.Option(
            help="Try a write, which changes nothing that is seen; --no-write for a library that is only read."
        ),
    ] = True,
    night_within: Annotated[
        float | None,
        typer.Option(min=0, help="Hours within which a night must have ended.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check quickly, for a monitor: status 0 is healthy, 1 degraded (agents are served, a person is needed), 2 down."""
    from skill_plugin.integrations.health import health as look  # noqa: PLC0415 - the store takes half a second to import

    quiet = settings.model_copy(update={"retention_days": None})  # a look empties nothing
    found = look(
        lambda: open_store(quiet, create=False, index=False, check_embedder=False),
        settings.home,
        timeout=timeout,
        write=write,
        night_within=night_within,
    )
    if as_json:
        print_json(found.to_json())
    else:
        print_table("health", _rows(found), {"what": "what", "is": "is"}, alone=True)
    # The store is not closed: one that does not answer would hold that up, and the process's end does it all.
    raise typer.Exit(STATUS[found.status])


def _rows(found: "Health") -> list[dict[str, str]]:
    rows = [("status", found.status), *(("wrong", str(one)) for one in found.problems)]
    if (store := found.store) is not None:
        free = "-" if store.free_bytes is None else f"{store.free_bytes // 2**20} MiB"
        rows += [
            ("schema", shown(store.schema)),
            ("skills", ", ".join(f"{count} {state}" for state, count in sorted(store.skills.items())) or "none"),
            ("held for a person", str(len(store.held))),
            ("staged, undecided", str(len(found.staged))),
            ("index", f"{store.backlog} changes to follow, indexer {store.indexer}"),
            ("disk free", free),
            ("last night", shown(found.last_night.at or found.last_night.began) if found.last_night else "none yet"),
            (
                "last evolve",
                shown(found.last_evolve.at or found.last_evolve.began) if found.last_evolve else "none yet",
            ),
        ]
    return [{"what": what, "is": said} for what, said in rows]
