"""The demonstration with a real language model: SmolLM2-135M answers, and with its starter adapter writes the skills.

Nothing in it is simulated: the weights are real and small, so what they do is small too, and is shown as it comes.
"""

import asyncio
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from skill_plugin import generators
from skill_plugin.demo.facts import FactWorld, judge
from skill_plugin.errors import ConfigurationError, MissingExtraError
from skill_plugin.gates.decision import GateDecision
from skill_plugin.graphs import EvolveReport, EvolveSettings, create_skill_graph, evolve, gate_version
from skill_plugin.integrations.cli.batch import Graph, graph_input
from skill_plugin.integrations.cli.demonstration.demo_home import TASKS, empty, in_new_process, own_home
from skill_plugin.integrations.cli.terminal.console import out, print_table
from skill_plugin.integrations.cli.terminal.progress import lines
from skill_plugin.integrations.wiring import open_store
from skill_plugin.models import chat_models
from skill_plugin.models.gguf import get_model
from skill_plugin.models.named_models import PACKAGED
from skill_plugin.models.starters import STARTER, starter_folder
from skill_plugin.records import Task
from skill_plugin.settings import Settings
from skill_plugin.skills.skill_md import body_of
from skill_plugin.store import SkillStore
from skill_plugin.tasks.files import read_tasks, write_tasks

MODEL = "smollm2-135m"
WORLD = FactWorld(seed=7, facts=4)

JUDGE = f"{judge.__module__}:{judge.__name__}"

AT_ONCE = 32
"""Calls that run as one batch."""

TASK_TOKENS, SKILL_TOKENS = 24, 160
"""The most tokens of an answer, and of a skill: a model this small rambles where it does not know."""

NIGHT = {
    "epochs": 1,
    "max_steps": 1,
    "groups_per_step": 1,
    "learning_rate": 3e-4,
    "dtype": "bfloat16",
    "logprob_samples": 1,
    "validation_groups": 0,
}
"""A night that is short enough to watch; a real one has a hundred times as much to learn from."""


def run(settings: Settings) -> dict[str, Any]:
    """Runs the demonstration from the beginning; returns its figures, `solved` being shares of the questions.

    Raises:
        ConfigurationError: the model's package is not installed.
        MissingExtraError: what a model in this process needs is not installed.
    """
    folder = _weights(settings)
    started = time.perf_counter()
    here = _here(settings, folder)
    empty(here.home)
    write_tasks(here.home / TASKS, [task for fact in WORLD.draw() for task in fact.tasks()])
    _opening()
    figures = _run(here)
    out.print("\nThe same questions in a new process, which has only the store on disk:", highlight=False)
    figures["solved"]["restart"] = in_new_process(settings, here.home)["restart"]
    _night(here)
    figures["seconds"] = round(time.perf_counter() - started, 1)
    _closing(figures, here)
    return figures


def restart(settings: Settings) -> dict[str, Any]:
    """Runs the second process: the same questions with what the first one left on disk."""
    here = _here(settings, _weights(settings))
    train = [task for task in read_tasks(here.home / TASKS) if task.split == "train"]
    with open_store(here, create=False) as store:
        solved = _solved(_graph(store, here), train)
    out.print(Text(f"solved {sum(solved)} of {len(solved)}", style="bold"))
    return {"restart": round(sum(solved) / len(solved), 4)}


def _weights(settings: Settings) -> Path:
    """Returns the model's folder, which is made on the first day."""
    try:
        with out.status("preparing the weights of SmolLM2-135M, once"):
            return get_model(MODEL, settings.home)
    except (ConfigurationError, MissingExtraError) as exc:
        raise ConfigurationError(f"{exc}; or see it with simulated models: skill-plugin demo --simulated") from exc


def _here(settings: Settings, folder: Path) -> Settings:
    return own_home(settings).model_copy(
        update={
            "model": f"local:{folder}",
            "task_max_tokens": TASK_TOKENS,
            "generator": f"local:{folder}@live",
            "generator_max_tokens": SKILL_TOKENS,
            "verifier": JUDGE,
        }
    )


def _opening() -> None:
    out.print(Text("skill-plugin demo", style="bold"))
    out.print(
        f"{PACKAGED[MODEL].about.partition(',')[0]}, a [bold]real[/bold] language model of 135 million weights, answers "
        "questions about facts that nobody has told it, on this machine's processor. The same weights with a small adapter, the "
        "starter, write the skills. Nothing is simulated.",
        highlight=False,
    )


def _run(settings: Settings) -> dict[str, Any]:
    tasks = read_tasks(settings.home / TASKS)
    train, heldout = ([task for task in tasks if task.split == split] for split in ("train", "heldout"))
    with open_store(settings, create=True) as store:
        _begin_with_starter(store, settings)
        graph = _graph(store, settings)
        out.print(f"\n{len(train)} questions without a skill:", highlight=False)
        none = _solved(graph, train, arm="control")
        out.print(Text(f"solved {sum(none)} of {len(none)}", style="bold"))
        out.print(
            "\nFor each family the generator writes skills, and the gate lets live what helps on other wordings:",
            highlight=False,
        )
        _evolve(store, settings, tasks)
        retrieved, revised = _solved(graph, heldout), _solved(graph, train)
        _show(store, train, none, retrieved, revised)
        decision = _offer_harm(store, graph, heldout)
    verb = "promoted" if decision.promote else "refused"
    style = "bold red" if decision.promote else "bold green"
    out.print(
        Text.assemble(
            "\nA harmful revision, with a wrong value, was offered to the gate and ",
            (verb, style),
            f": {decision.reason}",
        )
    )
    solved = {
        name: round(sum(found) / len(found), 4)
        for name, found in (("no_skill", none), ("retrieved", retrieved), ("revised", revised))
    }
    return {
        "tasks": len(train),
        "solved": solved,
        "harmful_refused": not decision.promote,
        "seconds": 0.0,
        "model": MODEL,
        "generator": f"{MODEL}@{STARTER}",
        "simulated": False,
    }


def _begin_with_starter(store: SkillStore, settings: Settings) -> None:
    """Makes the starter the live checkpoint, as `skill-plugin checkpoints add MODEL@starter --promote` does."""
    base = (settings.model or "").removeprefix("local:")
    starter = store.checkpoints.register(starter_folder(MODEL), base_model=base)
    store.checkpoints.promote(starter.id, by="demo", reason="the starter")


def _evolve(store: SkillStore, settings: Settings, tasks: Sequence[Task]) -> None:
    writer = generators.from_settings(settings, store.checkpoints.live)
    assert writer is not None  # noqa: S101 - it is named above
    report = EvolveReport()
    with lines(lambda: f"{report.candidates} texts written, {len(report.accepted)} live", every=10):
        evolve(
            tasks,
            store=store,
            llm=chat_models.from_settings(settings),
            generator=writer,
            verifier=judge,
            settings=EvolveSettings(
                generations=1, candidates=4, rollouts=1, siblings=2, gate_tasks=3, adaptive=False, concurrency=AT_ONCE
            ),
            progress=report,
        )


def _graph(store: SkillStore, settings: Settings) -> Graph:
    return create_skill_graph(store=store, llm=chat_models.from_settings(settings), verifier=judge, k=1).compile(
        name="demo"
    )


def _solved(graph: Graph, tasks: Sequence[Task], **given: Any) -> list[bool]:
    """Returns for each task whether it passes, all of them run side by side."""

    async def all_of_them() -> list[Any]:
        asked = [{**graph_input(task), **given} for task in tasks]
        return await graph.abatch(asked, config={"max_concurrency": AT_ONCE})  # type: ignore[arg-type]

    return [bool(one["passed"]) for one in asyncio.run(all_of_them())]


def _show(
    store: SkillStore, train: Sequence[Task], none: Sequence[bool], new: Sequence[bool], after: Sequence[bool]
) -> None:
    """Prints a row for each family: what is solved, and the text that does it."""
    rows = []
    live = store.list("live")
    for family in dict.fromkeys(task.family for task in train):
        places = [at for at, task in enumerate(train) if task.family == family]
        counts = {
            name: f"{sum(found[at] for at in places)} of {len(places)}"
            for name, found in (("no skill", none), ("new wordings", new), ("same questions", after))
        }
        shown = store.search(train[places[0]].input, k=1)
        text = " ".join(body_of(shown[0].text).split()) if shown else "-"
        rows.append({"family": family, **counts, "skill": text[:80]})
    print_table(f"{len(live)} skills are live", rows, {name: name for name in rows[0]})


def _offer_harm(store: SkillStore, graph: Graph, heldout: Sequence[Task]) -> GateDecision:
    """Offers the gate a live skill with another value in the place of the right one."""
    for fact in WORLD.draw():
        mine = [task for task in heldout if task.family == fact.family]
        found = store.search(mine[0].input, k=1)
        if found and fact.value in body_of(found[0].text):
            wrong = next(value for value in fact.kind.values if value != fact.value)
            harmful = store.revise_text(found[0].skill_id, found[0].text.replace(fact.value, wrong))
            return gate_version(store, graph, harmful.ref, mine)
    raise ConfigurationError("no skill went live, so there is none to harm; run the demonstration again")


def _night(settings: Settings) -> None:
    """Runs the command of the nightly job on what was logged: a short night, whose table is its own."""
    given = [word for name, value in NIGHT.items() for word in ("--set", f"{name}={value}")]
    gate = ["--gate-tasks", "3", "--gate-candidates", "1", "--gate-most-candidates", "1", "--gate-rollouts", "1"]
    gate += ["--concurrency", str(AT_ONCE)]
    shared = ["--home", str(settings.home), "--namespace", settings.namespace, "--embedder", settings.embedder]
    models = ["--model", str(settings.model), "--generator", str(settings.generator), "--verifier", JUDGE]
    out.print(
        "\nThe nightly job, cut short: the generator is trained on what was logged, and a gate compares it with the starter:",
        highlight=False,
    )
    subprocess.run(  # noqa: S603 - our own command; a night that fails says so, and the rest was shown all the same
        [sys.executable, "-m", "skill_plugin.integrations.cli", "retrain", *models, *given, *gate, *shared], check=False
    )


def _closing(figures: dict[str, Any], settings: Settings) -> None:
    solved = figures["solved"]
    out.print(
        Text(
            f"\nSolved of {figures['tasks']} questions: {solved['no_skill']:.0%} without a skill, {solved['revised']:.0%} with the skills "
            f"that were written, {solved['restart']:.0%} after the restart; of as many new wordings {solved['retrieved']:.0%}. "
            f"{figures['seconds']:.0f} s.",
            style="bold",
        )
    )
    home = f"--home {shlex.quote(str(settings.home))}"
    out.print("To look at what it left:")
    for line in (f"  skill-plugin skills list {home}", f"  skill-plugin checkpoints list {home}"):
        out.print(Text(line), soft_wrap=True)
