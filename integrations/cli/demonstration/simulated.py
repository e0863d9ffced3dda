"""The fast demonstration: the whole loop in half a minute, without PyTorch.

The task LLM and the generator's model are simulated and called so; the database, the SQL, the store, the embeddings,
the graph, the verdicts and the gate are real.
"""

import shlex
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.live import Live
from rich.table import Table
from rich.text import Text

from skill_plugin import generators
from skill_plugin.demo import business
from skill_plugin.demo.questions import FAMILIES, stream
from skill_plugin.demo.simulated import DESCRIPTIONS, SimulatedAnalyst, SimulatedEditor
from skill_plugin.demo.world import DATABASE, STARTERS, SYSTEM_PROMPT
from skill_plugin.gates.decision import GateDecision
from skill_plugin.graphs import create_skill_graph, gate_version
from skill_plugin.integrations.cli.batch import Graph, graph_input
from skill_plugin.integrations.cli.demonstration.demo_home import TASKS, empty, in_new_process, own_home
from skill_plugin.integrations.cli.terminal.console import out, print_table
from skill_plugin.integrations.cli.terminal.progress import lines, watched
from skill_plugin.integrations.wiring import open_store
from skill_plugin.records import Task
from skill_plugin.settings import Settings
from skill_plugin.store import SkillStore
from skill_plugin.tasks.files import read_tasks, write_tasks

PROMPT = "system-prompt.txt"

HARMFUL_SKILL = "order-status"
HARMFUL_EDIT = ("shipped = 35, delivered = 40", "shipped = 40, delivered = 35")


@dataclass
class Tally:
    """Solved tasks of one family."""

    tasks: int = 0
    no_skill: int = 0
    retrieved: int = 0
    revised: int = 0


def run(settings: Settings) -> dict[str, Any]:
    """Runs the demonstration from the beginning; returns its figures, `solved` being shares of the questions."""
    started = time.perf_counter()
    here = own_home(settings)
    _prepare(here.home)
    figures = _run(here)
    out.print("\nThe same questions in a new process, which has only the store on disk:", highlight=False)
    figures["solved"]["restart"] = in_new_process(settings, here.home, "--simulated")["restart"]
    figures["seconds"] = round(time.perf_counter() - started, 1)
    _closing(figures, here.home)
    return figures


def restart(settings: Settings) -> dict[str, Any]:
    """Runs the second process: the same questions with what the first one left on disk, and no revision."""
    here = own_home(settings)
    train = [task for task in read_tasks(here.home / TASKS) if task.split == "train"]
    tallies: dict[str, Tally] = defaultdict(Tally)
    with open_store(here, create=False) as store:
        graph = _graph(store, max_generations=0)
        with _watching(store, tallies, "restarted", len(train)) as move:
            for task in train:
                tally = tallies[task.family]
                tally.tasks += 1
                tally.retrieved += bool(graph.invoke(graph_input(task))["passed"])
                move()
    return {"restart": round(sum(tally.retrieved for tally in tallies.values()) / len(train), 4)}


def _prepare(folder: Path) -> None:
    """Makes the business and an empty place for the store."""
    empty(folder)
    business.build(folder / DATABASE)
    write_tasks(folder / TASKS, stream(folder / DATABASE))
    (folder / PROMPT).write_text(SYSTEM_PROMPT, encoding="utf-8")


def _run(settings: Settings) -> dict[str, Any]:
    tasks = read_tasks(settings.home / TASKS)
    out.print(Text("skill-plugin demo", style="bold"))
    out.print(
        "Questions about a business with conventions that its schema does not tell. The task LLM and the model that "
        "writes skills are [bold]simulated[/bold]; the database, SQL, store, embeddings, graph, verdicts and gate are real.",
        highlight=False,
    )
    with open_store(settings, create=True) as store:
        with out.status("reading the MiniLM weights"):
            for name, rule in STARTERS:
                store.add(name=name, description=DESCRIPTIONS[name], body=f"- {rule}")
        graph = _graph(store, max_generations=3)
        heldout = [task for task in tasks if task.split == "heldout"]
        tallies = _learn(store, graph, [task for task in tasks if task.split == "train"], heldout)
        decision = _offer_harm(store, graph, heldout)
        out.print(
            Text.assemble(
                "A harmful revision of ", (HARMFUL_SKILL, "bold"), " was offered to the gate and ",
                ("promoted" if decision.promote else "refused", "bold red" if decision.promote else "bold green"),
                f": {decision.reason}",
            )
        )  # fmt: skip
    total = sum(tally.tasks for tally in tallies.values())
    shares = {
        key: round(sum(getattr(tally, key) for tally in tallies.values()) / total, 4)
        for key in ("no_skill", "retrieved", "revised")
    }
    return {
        "tasks": total,
        "solved": shares,
        "harmful_refused": not decision.promote,
        "seconds": 0.0,
        "model": SimulatedAnalyst().model_name,
        "generator": SimulatedEditor().model_name,
        "simulated": True,
    }


def _learn(store: SkillStore, graph: Graph, train: list[Task], heldout: list[Task]) -> dict[str, Tally]:
    """Runs the stream: every question without a skill, with what is retrieved, and after revision; then the gate."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    with _watching(store, tallies, "learning", len(train)) as move:
        for task in train:
            tally = tallies[task.family]
            control = graph.invoke({**graph_input(task), "arm": "control"})
            output = graph.invoke(graph_input(task))
            first = store.runs.rollouts(output["run_id"])[0]
            tally.tasks += 1
            tally.no_skill += bool(control["passed"])
            tally.retrieved += bool(first.passed)
            tally.revised += bool(output["passed"])
            if output["passed"] and output["generations"] and output["skill"]:
                gate_version(store, graph, output["skill"], [held for held in heldout if held.family == task.family])
            move()
    return tallies


def _offer_harm(store: SkillStore, graph: Graph, heldout: list[Task]) -> GateDecision:
    """Offers the gate a plausible edit that swaps two codes."""
    text = store.get(HARMFUL_SKILL).text
    harmful = store.revise_text(HARMFUL_SKILL, text.replace(*HARMFUL_EDIT))
    return gate_version(store, graph, harmful.ref, [task for task in heldout if task.family == HARMFUL_SKILL])


def _graph(store: SkillStore, *, max_generations: int) -> Graph:
    return create_skill_graph(
        store=store,
        llm=SimulatedAnalyst(),
        generator=generators.chat(SimulatedEditor()),
        max_generations=max_generations,
        system_prompt=SYSTEM_PROMPT,
    ).compile(name="demo")


@contextmanager
def _watching(store: SkillStore, tallies: dict[str, Tally], phase: str, questions: int) -> Iterator[Callable[[], None]]:
    """Shows the table as it grows; without a terminal once, at the end, and a line every so often until then."""
    if sys.stdout.isatty() and watched():
        with Live(_table(store, tallies, phase), console=out, refresh_per_second=8) as live:
            yield lambda: live.update(_table(store, tallies, phase))
        return
    with lines(lambda: f"{phase}: {sum(tally.tasks for tally in tallies.copy().values())} of {questions} questions"):
        yield lambda: None
    rows = _rows(store, tallies, phase)
    print_table(f"{phase} (simulated models)", rows, {name: name for name in rows[0]})


def _rows(store: SkillStore, tallies: dict[str, Tally], phase: str) -> list[dict[str, str]]:
    """Returns the solved questions by family. The generation is that of the live version."""
    live = {skill.name: skill for skill in store.list("live")}
    rows = []
    for family in FAMILIES:
        tally, skill = tallies[family], live.get(family)
        row = {
            "family": family,
            "asked": str(tally.tasks),
            "generation": str(skill.generation) if skill else "-",
            "utility": f"{skill.utility:.2f}" if skill and skill.utility is not None else "-",
        }
        counts = {"no skill": tally.no_skill, "retrieved": tally.retrieved, "revised": tally.revised}
        shown = counts if phase == "learning" else {"retrieved": tally.retrieved}
        rows.append(row | {name: f"{n / tally.tasks:.0%}" if tally.tasks else "-" for name, n in shown.items()})
    return rows


def _table(store: SkillStore, tallies: dict[str, Tally], phase: str) -> Table:
    table = Table(
        title=f"{phase} (simulated models)",
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    rows = _rows(store, tallies, phase)
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading == "family" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    return table


def _closing(figures: dict[str, Any], folder: Path) -> None:
    solved = figures["solved"]
    out.print(
        Text(
            f"\nSolved of {figures['tasks']} questions: {solved['no_skill']:.0%} without a skill, "
            f"{solved['retrieved']:.0%} with the retrieved one, {solved['revised']:.0%} after revision, "
            f"{solved['restart']:.0%} at once after the restart. {figures['seconds']:.0f} s.",
            style="bold",
        )
    )
    program = "skill-plugin" if shutil.which("skill-plugin") else shlex.quote(sys.argv[0])
    home = f"--home {shlex.quote(str(folder))}"
    run = f"{program} run {home} --tasks {folder / TASKS} --system-prompt @{folder / PROMPT}"
    out.print("To go on, here and with a real model:")
    for line in (
        f"  {program} skills history order-status {home}",
        f"  {run} --model openai:gpt-5-mini",
        f"  {run} --model NAME --base-url http://localhost:8000/v1",
    ):
        out.print(Text(line), soft_wrap=True)
