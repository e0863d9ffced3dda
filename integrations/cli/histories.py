"""`skill-plugin histories import | export | stats`: recorded runs as files, and what there is to learn from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from skill_plugin import histories as formats
from skill_plugin.histories.eligibility import BASE, MAX_AGE
from skill_plugin.histories.files import files
from skill_plugin.integrations.cli.terminal.console import err, out, print_json, print_table, shown
from skill_plugin.integrations.cli.terminal.options import Json, command
from skill_plugin.integrations.cli.terminal.progress import watched
from skill_plugin.integrations.cli.terminal.texts import as_file
from skill_plugin.integrations.wiring import open_store
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from skill_plugin.training.data.statistics import HistoryStats

histories = typer.Typer(help="Recorded runs: take them in, hand them to a trainer, count them.", no_args_is_help=True)

Family = Annotated[str | None, typer.Option(help="Only tasks of this family.")]
Since = Annotated[str | None, typer.Option(help="Only lineages in which something was recorded on this date or later.")]


@command(histories, "import")
def import_histories(
    settings: Settings,
    format: Annotated[  # noqa: A002 - its name on the command line
        str, typer.Argument(help=f"{', '.join(formats.FORMATS)}, or {formats.AUTO}.", show_default=False)
    ],
    path: Annotated[
        Path,
        typer.Argument(
            help="A .jsonl, .json or .parquet file, plain or .gz, a folder, or - for JSON lines on standard input.",
            show_default=False,
        ),
    ],
    family: Annotated[str | None, typer.Option(help="The family of tasks that name none.")] = None,
    as_json: Json = False,
) -> None:
    """Take in runs that another system recorded; what is wrong with a row is counted, importing twice is importing once."""
    with as_file(path) as source:
        formats.read(format, source)  # what cannot be read must not make a store
        with (
            open_store(settings, create=True, index=False, check_embedder=False) as store,
            _bar("importing", sum(file.stat().st_size for file in files(source))) as move,
        ):
            report = store.histories.import_from(source, format, family=family, progress=move)
    if as_json:
        print_json(report)
        return
    rows = [
        {"what": "read", "rollouts": report.read},
        {"what": "imported", "rollouts": report.imported},
        {"what": "already there", "rollouts": report.already_there},
        *({"what": f"refused: {reason}", "rollouts": count} for reason, count in report.refused.items()),
    ]
    print_table(f"imported from {path}", rows, {"what": "what", "rollouts": "rollouts"})
    print_table("mean reward", _pairs("run", "reward", report.mean_reward), {"run": "run", "reward": "mean reward"})
    for note, count in report.notes.items():
        out.print(Text(f"{note}: {count}"))


@command(histories, "export")
def export_histories(
    settings: Settings,
    path: Annotated[Path, typer.Argument(help="A .jsonl, .jsonl.gz or .parquet file.", show_default=False)],
    family: Family = None,
    since: Since = None,
    until: Annotated[
        str | None, typer.Option(help="Only lineages in which something was recorded before this date.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write histories to one file that a trainer can learn from, without the store."""
    with open_store(settings, create=False, index=False, check_embedder=False) as store, _bar("exporting") as move:
        counts = store.histories.export_to(
            path, family=family, since=since, until=until, progress=lambda rows: move(0, rows)
        )
    if as_json:
        print_json({"path": str(path), **counts})
    else:
        out.print(
            Text(
                f"exported {counts['revisions']} revisions and {counts['rollouts']} rollouts to {path} ({counts['rows']} rows)"
            )
        )


@command(histories, "stats")
def stats(
    settings: Settings,
    family: Family = None,
    since: Since = None,
    checkpoint: Annotated[
        str | None, typer.Option(help=f"Only what this checkpoint of the generator wrote; '{BASE}' is not one.")
    ] = None,
    base_model: Annotated[
        str | None, typer.Option("--base-model", help="The model to be trained; revisions of other models are refused.")
    ] = None,
    max_age: Annotated[
        int, typer.Option("--max-age", help="Checkpoints that a revision may be behind the live one.")
    ] = MAX_AGE,
    as_json: Json = False,
) -> None:
    """Count histories: rewards by generation, how much signal there is, what retrain would use and why not the rest."""
    from skill_plugin.integrations.retrain.request import context_of  # noqa: PLC0415 - the store takes a second to import

    with open_store(settings, create=False, index=False, check_embedder=False) as store:
        found = store.histories.stats(
            family=family,
            since=since,
            base_model=base_model,
            max_age=max_age,
            checkpoint=checkpoint,
            max_tokens=context_of(base_model) if base_model else None,
        )
    if as_json:
        print_json(asdict(found))
    else:
        _show(found)


def _show(found: "HistoryStats") -> None:
    counts = {
        "tasks to train on": found.tasks["train"],
        "held-out tasks": found.tasks["heldout"],
        "lineages": found.lineages,
        "generations": found.generations,
        "candidate groups": found.groups,
        "candidates": found.candidates,
        "rollouts, own": found.by_source["own"],
        "rollouts, imported": found.by_source["imported"],
        "groups compared by siblings": found.groups_by_siblings,
        "groups with signal": f"{found.groups_with_signal} ({_percent(found.share_with_signal)})",
    }
    print_table("histories", _pairs("what", "number", counts), {"what": "what", "number": "number"})
    rows = [{**row, "passed": _percent(row["passed"])} for row in found.by_purpose]
    columns = {"purpose": "run for", "rollouts": "rollouts", "mean": "mean reward", "passed": "passed"}
    print_table("reward by purpose", rows, columns)
    rows = [{**row, "passed": _percent(row["passed"])} for row in found.reward_by_generation]
    columns = {
        "generation": "generation",
        "source": "source",
        "rollouts": "rollouts",
        "mean": "mean reward",
        "passed": "passed",
    }
    print_table("reward by generation", rows, columns)
    inter = found.inter_term
    if inter["noise_sd"] is not None:
        out.print(
            Text(
                f"inter-generation term over {inter['candidates']} candidates: spread {shown(inter['measured_sd'])}; chance alone "
                f"makes {shown(inter['noise_sd'])} of it at {inter['rollouts_a_candidate']:.1f} rollouts a candidate and "
                f"mean reward {shown(inter['mean_reward'])}"
            )
        )
    rows = [{**row, "share": _percent(row["share"])} for row in found.checkpoints]
    columns = {"checkpoint": "written by", "revisions": "revisions", "share": "share", "age": "checkpoints behind"}
    print_table("checkpoints", rows, columns)
    uses = {
        "would use": found.retrain["usable"],
        "could imitate": found.cold_start["imitable"],
        **{f"refuses: {reason}": count for reason, count in found.retrain["refused"].items()},
    }
    print_table("retrain", _pairs("what", "revisions", uses), {"what": "what", "revisions": "revisions"})
    if found.cold_start["advice"]:
        out.print(Text(found.cold_start["advice"]))


def _pairs(key: str, value: str, pairs: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: one, value: two} for one, two in pairs.items()]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


@contextmanager
def _bar(doing: str, total: int | None = None) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar on a terminal; yields its update, called with how many bytes are done, and rows or rollouts."""
    text = TextColumn("{task.description} {task.fields[count]}")
    parts = (SpinnerColumn(), text, BarColumn(), TimeElapsedColumn())
    with Progress(*parts, console=err, transient=True, disable=not watched()) as bar:
        task = bar.add_task(doing, total=total, count=0)
        yield lambda done, count: bar.update(task, completed=done, count=count)
