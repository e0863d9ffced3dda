"""`skill-plugin retrain`: the nightly job."""

import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from skill_plugin.budget import Budget
from skill_plugin.errors import ConfigurationError, NoStoreError
from skill_plugin.integrations.cli.terminal.console import err, out, print_json, print_table
from skill_plugin.integrations.cli.terminal.options import Agent, BaseUrl, Json, Judge, Model, SystemPrompt, Writer
from skill_plugin.integrations.cli.terminal.progress import lines, tell
from skill_plugin.settings import Settings

if TYPE_CHECKING:
    from skill_plugin.gates.checkpoints import CheckpointDecision
    from skill_plugin.integrations.retrain.dry_run import DryRun
    from skill_plugin.integrations.retrain.report import RetrainReport
    from skill_plugin.records import Task


def retrain(
    settings: Settings,
    base_model: Annotated[
        str | None,
        typer.Option(help="The generator's base: a folder or a name on the Hub \\[default: the generator's]."),
    ] = None,
    logged_as: Annotated[
        str | None, typer.Option(help="Its name in the histories \\[default: the generator's model].")
    ] = None,
    generator: Writer = None,
    model: Model = None,
    agent: Agent = None,
    base_url: BaseUrl = None,
    verifier: Judge = None,
    system_prompt: SystemPrompt = None,
    since: Annotated[
        datetime | None, typer.Option(help="Learn from what was logged since then \\[default: the last promotion].")
    ] = None,
    all_logs: Annotated[bool, typer.Option("--all-logs", help="Learn from everything that was logged.")] = False,
    max_minutes: Annotated[float | None, typer.Option(help="Budget of training: minutes.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Budget of training: steps.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", help="Any other training setting, as NAME=VALUE.", metavar="NAME=VALUE")
    ] = None,
    launcher: Annotated[
        str | None,
        typer.Option(
            help="Command that starts the trainer's processes, such as 'accelerate launch --num_processes 4'."
        ),
    ] = None,
    gate: Annotated[str, typer.Option(help="paired, off-policy, or auto: the first that is possible.")] = "auto",
    gate_tasks: Annotated[int, typer.Option(help="Held-out tasks that judge at first, at most.")] = 50,
    gate_candidates: Annotated[
        int, typer.Option(min=1, help="Texts of either generator for each held-out task, at first.")
    ] = 2,
    gate_most_candidates: Annotated[
        int,
        typer.Option(
            min=1,
            help="Texts of either generator for each of those tasks at most, or as many of further tasks, until it is sure.",
        ),
    ] = 8,
    gate_max_calls: Annotated[int | None, typer.Option(help="Budget of the gate: rollouts and texts together.")] = None,
    gate_max_minutes: Annotated[float | None, typer.Option(help="Budget of the gate: minutes.")] = None,
    gate_rollouts: Annotated[int, typer.Option(help="Times each text is tried.")] = 2,
    confident: Annotated[
        bool, typer.Option(help="Promote only if the gain's whole interval is above 0; else any gain will do.")
    ] = True,
    concurrency: Annotated[int, typer.Option(help="The gate's calls at once.")] = 8,
    promote: Annotated[bool, typer.Option(help="Promote a checkpoint that the gate accepts.")] = True,
    sleep: Annotated[bool, typer.Option("--sleep", help="Put the vLLM server to sleep while training.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Begin anew, even if an unfinished run exists.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for another retrain on this store to end.")] = False,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say what would be learned from, what is missing, and whether it fits here."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train the generator on the logs since its last promotion, and put the result in service only if it proves better.

    Ends with status 0 if the new checkpoint was promoted, if what is live was kept, and if there was nothing new; else with
    another. The same command resumes where it was killed. Training settings may stand in the settings file, as [retrain].
    """
    from skill_plugin.integrations import wiring  # noqa: PLC0415
    from skill_plugin.integrations.retrain import job  # noqa: PLC0415 - the store takes a second to import
    from skill_plugin.integrations.retrain.dry_run import dry_run  # noqa: PLC0415
    from skill_plugin.integrations.retrain.report import RetrainReport  # noqa: PLC0415
    from skill_plugin.integrations.retrain.request import Night  # noqa: PLC0415
    from skill_plugin.tasks.files import read_text  # noqa: PLC0415
    from skill_plugin.training import options  # noqa: PLC0415

    if gate not in ("auto", "paired", "off-policy"):
        raise ConfigurationError(f"gate is {gate!r}; it is one of auto, paired, off-policy")
    settings = settings.override(model=model, generator=generator, base_url=base_url, verifier=verifier)
    chosen = {**settings.retrain, **_pairs(given or [])}
    chosen |= {
        key: value for key, value in (("max_minutes", max_minutes), ("max_steps", max_steps)) if value is not None
    }
    base, name = wiring.trained_model(settings, base_model, logged_as)
    night = Night(
        base_model=base,
        logged_as=name,
        home=settings.home,
        parts=options.parts(chosen),
        since=since.astimezone() if since else None,
        all_logs=all_logs,
        launcher=launcher,
        gate=gate,  # type: ignore[arg-type]
        promote=promote,
        new=new,
    )
    llm = wiring.task_llm(settings, agent) if agent or settings.model else None
    judge = wiring.judge(settings)
    drawn = gate_tasks * math.ceil(gate_most_candidates / gate_candidates) if confident else gate_tasks
    budget = Budget(calls=gate_max_calls, minutes=gate_max_minutes)
    try:
        with wiring.open_store(settings, create=False, index=not dry, check_embedder=not dry) as store:
            if dry:
                there = llm is not None
                found = dry_run(store, night, task_llm=there, verifier=judge, gate_tasks=drawn, sleep=sleep)
                _report_dry(found, as_json=as_json)
                return
            compare = functools.partial(
                _compared,
                store=store,
                llm=llm,
                verifier=judge,
                first_tasks=gate_tasks,
                candidates=gate_candidates,
                most_candidates=gate_most_candidates,
                budget=budget,
                rollouts=gate_rollouts,
                concurrency=concurrency,
                confident=confident,
                elsewhere=True,
                system_prompt=read_text(system_prompt),
            )
            result = job.retrain(
                store,
                night,
                writer=wiring.writer(settings, base, name),
                compare=compare if llm is not None else None,
                verifier=judge,
                gate_tasks=drawn,
                server=wiring.vllm_server(settings),
                sleep=sleep,
                wait=wait,
                tell=tell,
            )
    except NoStoreError:  # the first nights of an agent that has not learned anything
        where = settings.home if settings.database is None else "the database that is set"
        reason = f"nothing to train yet: there is no store in {where}; evolve makes one, or an agent that has skills"
        result = RetrainReport(outcome="nothing new", reason=reason)
    except KeyboardInterrupt:
        err.print(Text("stopped; the same command resumes from the last snapshot"))
        raise typer.Exit(130) from None
    if as_json:
        _print_record(result.to_json())
    else:
        _report(result)
    if result.outcome == "failed":
        raise typer.Exit(1)


def _compared(tasks: "Sequence[Task]", candidate: Any, live: Any, **options: Any) -> "CheckpointDecision":
    from skill_plugin.graphs import GeneratorGate, gate_generator  # noqa: PLC0415 - LangGraph takes a second to import

    began, done = time.monotonic(), GeneratorGate()

    def said() -> str:
        minutes = (time.monotonic() - began) / 60
        return f"the gate has run for {minutes:.0f} minutes: {done.tasks} tasks begun, {done.texts} texts tried, {done.looks} looks"

    with lines(said, every=60):
        return gate_generator(tasks, candidate=candidate, live=live, progress=done, **options)


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if wrong := next((text for text, (name, mark, _) in zip(given, pairs, strict=True) if not (name and mark)), None):
        raise ConfigurationError(f"--set takes NAME=VALUE, such as learning_rate=1e-5, got {wrong!r}")
    return {name.replace("-", "_"): value for name, _, value in pairs}


def _print_record(record: Mapping[str, Any]) -> None:
    """Prints a night in one line with its time, so that a log of nights has a line for each."""
    print_json({"at": datetime.now().astimezone().isoformat(timespec="seconds"), **record}, compact=True)


def _report(result: "RetrainReport") -> None:
    """Prints one table: what was learned from, what changed, what the gate said."""
    if not result.run_id:  # there was no store to note a run in
        out.print(Text(result.reason))
        return
    print_table(f"retrain {result.run_id}", list(_rows(result)), {"what": "", "came": ""})
    out.print(Text(f"{result.outcome}: {result.reason}", style="bold"))
    if Path(result.folder, "curves.png").exists():
        out.print(Text(f"curves: {Path(result.folder, 'curves.png')}"), soft_wrap=True)


def _report_dry(found: "DryRun", *, as_json: bool) -> None:
    if as_json:
        _print_record(found.to_json())
    else:
        print_table("retrain, and nothing is done", list(_dry_rows(found)), {"what": "", "came": ""})
        out.print(Text(f"{found.outcome}: {found.reason}", style="bold"))
    if found.outcome == "would fail":
        raise typer.Exit(1)


def _dry_rows(found: "DryRun") -> Iterator[dict[str, str]]:
    yield {"what": "histories", "came": f"since {found.since}" if found.since else "from the beginning"}
    yield from _learned_rows(found.learned_from)
    yield {"what": "trains", "came": f"{found.trains} further" if found.trains else "a new adapter"}
    if found.unfinished:
        came = f"{', '.join(found.unfinished)}, to resume where the settings are the same"
        yield {"what": "unfinished", "came": came}
    if (run := found.forecast) is not None:
        needs, free = run["needed_bytes"] / 1e9, run["free_bytes"]
        free = "" if free is None else f", {free / 1e9:.2f} GB are free"
        yield {"what": "steps", "came": f"{run['steps']} at most, of {run['trained_parameters']:,} weights"}
        yield {"what": "memory", "came": f"{needs:.2f} GB on {run['device']} in {run['dtype']}{free}"}
        yield {"what": "disk", "came": f"{run['disk_bytes'] / 1e9:.2f} GB while it trains"}
    heldout = f", at most {found.heldout} held-out tasks" if found.judged_by == "paired" else ""
    yield {"what": "gate", "came": f"{found.judged_by}{heldout}"}
    if found.verifier:
        yield {"what": "verifier", "came": found.verifier}


def _learned_rows(learned: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    from skill_plugin.integrations.retrain.request import advice_of  # noqa: PLC0415 - the store takes a second to import

    refused = ", ".join(f"{count} {why}" for why, count in learned["refused"].items())
    held = learned["validation_groups"]
    came = f"{learned['groups']} groups, {held} of them held back; {learned['candidates']} revisions, {learned['rollouts']} rollouts"
    yield {"what": "learned from", "came": came}
    if (
        count := learned.get("groups_by_siblings")
    ) is not None:  # a run that was begun by an earlier release does not say
        came = f"{count} groups by sibling tasks, {learned['groups_by_own_task']} by their own task alone"
        yield {"what": "texts compared", "came": came}
    yield {"what": "refused", "came": refused or "none"}
    if learned.get("pairs_sha256"):
        left_out = ", ".join(f"{count} {why}" for why, count in learned["not_imitated"].items())
        came = f"{learned['imitable']} accepted texts of any generator; left out: {left_out or 'none'}"
        yield {"what": "imitates", "came": came}
    if (advice := advice_of(learned)) is not None:
        yield {"what": "advice", "came": advice}
    if learned["reward_mean"] is not None:
        yield {"what": "reward", "came": f"mean {learned['reward_mean']:.3f}"}


def _rows(result: "RetrainReport") -> Iterator[dict[str, str]]:
    learned, trained, gate = result.learned_from, result.trained, result.gate
    if result.rolled_back:
        yield {"what": "rolled back", "came": f"{result.rolled_back}: the gate took clearly less of what it wrote"}
    if learned:
        yield from _learned_rows(learned)
    if trained:
        last = trained["last"]
        yield {
            "what": "trained",
            "came": f"{trained['step']} of {trained['steps']} steps, {trained['tokens']} tokens: {trained['reason']}",
        }
        yield {"what": "prompts", "came": f"{trained['way']}: {trained['way_reason']}"}
        if last:
            yield {
                "what": "last step",
                "came": f"loss {last['loss']:.4f}, KL {last.get('kl', 0):.4f} nats, mean ratio {last.get('ratio', 1):.3f}",
            }
        if trained["skipped"] or trained["refused_groups"]:
            yield {
                "what": "left out",
                "came": f"{trained['skipped']} steps that were not finite, {len(trained['refused_groups'])} groups of another model",
            }
    if result.checkpoint:
        yield {"what": "checkpoint", "came": result.checkpoint}
    if gate and gate["kind"] != "none":
        yield {
            "what": f"gate ({gate['kind']})",
            "came": f"{gate['before']:.3f} -> {gate['after']:.3f}, gain {gate['gain']:+.3f} [{gate['low']:+.3f}, {gate['high']:+.3f}]",
        }
    if gate:
        yield from ({"what": check["name"], "came": check["said"]} for check in gate["checks"])
    yield {"what": "live", "came": result.live or "base model"}
    yield from ({"what": "serving", "came": line} for line in result.serving)
    yield {"what": "seconds", "came": ", ".join(f"{name} {took:.1f}" for name, took in result.seconds.items())}
