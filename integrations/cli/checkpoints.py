"""`skill-plugin checkpoints add | list | show | promote | rollback | check | curves | prune`: which trained adapter writes, and which did.

Only `prune` deletes, and only files. Every other command can be undone by another.
"""

import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from skill_plugin.checkpoints import KEPT, MARGIN, MIN_DECISIONS, id_of_adapter
from skill_plugin.disk import whole_folder
from skill_plugin.errors import ConfigurationError, MissingExtraError
from skill_plugin.integrations.cli.terminal.console import note, out, print_json, print_table, shown
from skill_plugin.integrations.cli.terminal.options import Json, command
from skill_plugin.integrations.wiring import open_store, trained_model
from skill_plugin.models.adapter_files import adapter_sha256, check_adapter
from skill_plugin.models.starters import STARTER, starter_folder
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skill_plugin.checkpoints import Checkpoint, CheckpointEvent
    from skill_plugin.store import SkillStore

checkpoints = typer.Typer(
    help="Trained adapters of the generator: which one is live, and which were.", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(help="A checkpoint's id, such as ckpt_0123456789ab.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the checkpoint's history.")]

BY = "human"


@command(checkpoints, "add")
def add(
    settings: Settings,
    adapter: Annotated[
        str, typer.Argument(help="A folder with a LoRA adapter, or MODEL@starter, such as smollm2-135m@starter.")
    ],
    base_model: Annotated[
        str | None, typer.Option(help="The model it was trained on \\[default: MODEL, or the generator's].")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Make it live, without a gate.")] = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Register an adapter that was trained elsewhere, as a candidate; its files are copied to the home folder."""
    folder, base = _adapter(settings, adapter, base_model)
    check_adapter(folder)
    place = settings.home / "adapters" / id_of_adapter(adapter_sha256(folder))
    if not place.exists():
        with whole_folder(place) as unfinished:
            shutil.copytree(folder, unfinished, dirs_exist_ok=True)
    with open_store(settings, create=True, index=False, check_embedder=False) as store:
        found = store.checkpoints.register(place, base_model=base, by=BY)
        if promote:
            found = store.checkpoints.promote(found.id, by=BY, reason=reason)
    if as_json:
        print_json(found)
    else:
        out.print(Text(f"{found.id} is live" if promote else f"{found.id} is a {found.status}"))


@command(checkpoints, "list")
def list_(
    settings: Settings,
    status: Annotated[str | None, typer.Option(help="Only those of this status: candidate, live or retired.")] = None,
    as_json: Json = False,
) -> None:
    """List the checkpoints, newest first."""
    with _store(settings) as store:
        found = store.checkpoints.list(status)
        events = store.checkpoints.events()
    if as_json:
        print_json(found)
        return
    rows = [{**asdict(one), "said": _gate(one, events)} for one in found]
    columns = {"id": "id", "status": "status", "base_model": "base model", "parent": "parent", "said": "gate"}
    print_table("checkpoints", rows, {**columns, "created_at": "registered"}, alone=True)
    if found and status is None and not any(one.status == "live" for one in found):
        note("none is live: the base model writes")


@command(checkpoints, "show")
def show(settings: Settings, checkpoint_id: Id, as_json: Json = False) -> None:
    """Show one checkpoint: what it is, what the gate takes of what it writes, and its life."""
    with _store(settings) as store:
        found = store.checkpoints.get(checkpoint_id)
        events = store.checkpoints.events(checkpoint_id)
        accepted = store.checkpoints.acceptance(checkpoint_id)
    if as_json:
        print_json({**asdict(found), "acceptance": asdict(accepted), "events": [asdict(event) for event in events]})
        return
    for name, value in asdict(found).items():
        out.print(Text(f"{name.replace('_', ' ')}: {shown(value)}"))
    out.print(Text(f"acceptance: {accepted.accepted} of {accepted.decided} revisions that the gate decided"))
    columns = {"at": "when", "kind": "what", "by": "by", "reason": "why"}
    print_table("life", [asdict(event) for event in events], columns)


@command(checkpoints, "promote")
def promote(
    settings: Settings,
    checkpoint_id: Id,
    reason: Reason = "",
    force: Annotated[
        bool, typer.Option("--force", help="Promote although the gate refused it, or was never asked.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a checkpoint live; the one that is live is retired."""
    with _store(settings) as store:
        found = store.checkpoints.get(checkpoint_id)
        said = _gate(found, store.checkpoints.events(checkpoint_id))
        if found.status != "live" and said != "passed" and not force:
            why = "the gate refused it" if said == "refused" else "no gate has judged it"
            raise ConfigurationError(f"{found.id} was not promoted: {why}; to promote it all the same pass --force")
        promoted = store.checkpoints.promote(checkpoint_id, by=BY, reason=reason)
    if as_json:
        print_json(promoted)
    else:
        out.print(Text(f"{promoted.id} is live"))


@command(checkpoints, "rollback")
def rollback(
    settings: Settings,
    to: Annotated[
        str | None,
        typer.Option(help="An id, or 'base model' for no adapter \\[default: what was live before the live one]."),
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Go back to an earlier checkpoint; the live one is retired."""
    with _store(settings) as store:
        now = store.checkpoints.rollback(by=BY, reason=reason, to=to)
    if as_json:
        print_json({"live": now})
    else:
        out.print(Text(_live(now)))


@command(checkpoints, "check")
def check(
    settings: Settings,
    margin: Annotated[float, typer.Option(min=0, max=1, help="How much lower its acceptance rate must be.")] = MARGIN,
    min_decisions: Annotated[
        int, typer.Option(min=1, help="Decisions of the gate on either side, at least.")
    ] = MIN_DECISIONS,
    as_json: Json = False,
) -> None:
    """Roll the live checkpoint back if the gate takes clearly less of what it writes than of its predecessor's."""
    with _store(settings) as store:
        rolled_back = store.checkpoints.check_live(by="check", margin=margin, min_decisions=min_decisions)
        now = store.checkpoints.live()
        events = store.checkpoints.events(rolled_back.id) if rolled_back else []
    if as_json:
        print_json({"rolled_back": rolled_back, "live": now})
        return
    if rolled_back is not None:
        out.print(Text(f"rolled back {rolled_back.id}: {events[-1].reason}"))
    out.print(Text(_live(now)))


@command(checkpoints, "curves")
def curves(
    settings: Settings,
    path: Annotated[
        Path | None, typer.Argument(help="The .png file to write \\[default: nights.png in the home folder].")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw all nights in one picture: the reward learned from, what the gate measured, what was promoted or kept."""
    from skill_plugin.integrations.retrain.nights import night_points  # noqa: PLC0415 - the store takes half a second
    from skill_plugin.training.files.nights import draw_nights  # noqa: PLC0415 - training's folder

    with _store(settings) as store:
        nights = night_points(store)
    if as_json:
        print_json([night._asdict() for night in nights])
        return
    if not nights:
        raise ConfigurationError(
            f"namespace {settings.namespace!r} has no night that trained a checkpoint; run: skill-plugin retrain"
        )
    place = path or settings.home / "nights.png"
    try:
        drawn = draw_nights(nights, place, title=f"Nights of namespace {settings.namespace}")
    except OSError as exc:
        raise ConfigurationError(f"{str(place)!r} cannot be written: {exc.strerror}; name another file") from exc
    if not drawn:
        raise MissingExtraError("the picture of nights", "train")
    out.print(Text(f"drew {len(nights)} nights: {place}"), soft_wrap=True)


@command(checkpoints, "prune")
def prune(
    settings: Settings,
    keep: Annotated[int, typer.Option(min=0, help="The newest refused and superseded ones whose files stay.")] = KEPT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show each decision, delete nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete the files of checkpoints that were refused or superseded; the registry keeps what they were.

    What is live, what a rollback goes to and what no gate has refused stays, and what is not in the home folder.
    """
    folder = settings.home / "adapters"
    with _store(settings) as store:
        found = store.checkpoints.prune(folder, keep=keep, dry_run=True)
        doomed = [one for one in found if one.action == "delete"]
        if not as_json:
            columns = {"id": "id", "status": "status", "action": "action", "size": "size", "reason": "why"}
            rows = [asdict(one) | {"size": _megabytes(one.bytes)} for one in found]
            print_table("prune (dry run)" if dry_run else "prune", rows, columns)
        if doomed and not dry_run:
            if not yes:
                _ask(len(doomed))
            with store.runs.alone("retrain"):  # a night reads the files of what it trains further
                found = store.checkpoints.prune(folder, keep=keep, by=BY)
    if as_json:
        print_json(found)
        return
    freed = _megabytes(sum(one.bytes for one in found if one.action == "delete"))
    said = f"{len(doomed)} to delete, {freed}" if dry_run else f"deleted {len(doomed)}, {freed}"
    out.print(Text(said if doomed else "nothing to delete"))


def _adapter(settings: Settings, name: str, base_model: str | None) -> tuple[Path, str]:
    """Returns the folder of an adapter, and its base model's name in the histories."""
    model, at, which = name.rpartition("@")
    if not at or which != STARTER:
        return Path(name).expanduser(), trained_model(settings, base_model, None)[1]
    generator = settings if base_model else settings.override(generator=f"local:{model}")
    return starter_folder(model), trained_model(generator, base_model, None)[1]


def _ask(folders: int) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError(f"nothing was deleted: {folders} folders would be; pass --yes, or --dry-run to look")
    typer.confirm(f"delete the files of {folders} checkpoints for good?", abort=True, err=True)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _store(settings: Settings) -> "SkillStore":
    return open_store(settings, create=False, index=False, check_embedder=False)


def _gate(checkpoint: "Checkpoint", events: "Iterable[CheckpointEvent]") -> str:
    """Returns what the gate said of a checkpoint last: `passed`, `refused`, or nothing (`-`)."""
    said = "-"
    for event in events:
        if event.checkpoint_id == checkpoint.id:
            passed = event.kind == "promoted" and event.evidence.get("gate") is not None
            said = "refused" if event.kind == "kept" else "passed" if passed else said
    return said


def _live(now: "Checkpoint | None") -> str:
    return f"{now.id} is live" if now else "no checkpoint is live: the base model writes"
