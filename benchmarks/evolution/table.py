"""Tables of what an agent gets after each generation of `evolve`: tasks that neither training nor the gate
has seen, through the graph, over seeds, with 95 % intervals.

    python benchmarks/evolution/table.py facts --out OUT [--seeds 5] [--generations 5] [--rows none loop ...]
    python benchmarks/evolution/table.py facts --out OUT --ablation gate siblings   # what the loop is without a part
    python benchmarks/evolution/table.py sql --data DIR --generator rules --out OUT
    python benchmarks/evolution/table.py textworld --weights DIR --generator rules --out OUT
    python benchmarks/evolution/table.py tasks --tasks FILE --model openai:gpt-5-mini --generator openai:gpt-5-mini --out OUT

Rows:

    none       no skills
    starting   what a person begins with: found by search, and hollow
    loop       `evolve`, a generation at a time, with the generator that is named: by default the starter, untrained
    wrong      each family's description above another family's text
    oracle     the skills of an editor who knows everything
    harmed     the oracle's skills, which a generator without a model replaces with harm wherever a task fails

`OUT.csv` has a line for each row, seed and generation, with what it cost; `OUT.png` the curves. Lines that are in OUT.csv are not measured
again, so an interrupted table is resumed, and further seeds are added, by the same command.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parent.parent))
import fact_world
import own_tasks
import sql_notes
from bench import Bench
from curves import draw
from lines import read, write
from measure import library, served
from serving import interval

from skill_plugin import generators
from skill_plugin.gates.decision import GateDecision
from skill_plugin.gates.versions import paired_gate
from skill_plugin.generators.digest import current_text
from skill_plugin.graphs import EvolveSettings, evolve
from skill_plugin.models import chat_models
from skill_plugin.protocols import Generator
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.settings import Settings
from skill_plugin.skills.skill_md import SkillDocument, legal_name, parse, render

FIXED = ("none", "starting", "wrong", "oracle")
CHANGED = ("loop", "harmed")
ROWS = (*FIXED, *CHANGED)


class Harm:
    """A generator without a model: whatever it is shown, it writes that nobody knows."""

    name = "harm"

    def propose(self, task: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        shown = current_text(history)
        document = SkillDocument(legal_name(task.family), task.input, "") if shown is None else parse(shown)
        text = render(replace(document, body="Nobody knows this. Say that you do not know it."))
        return [Revision(completion=text, text=text, model=self.name) for _ in range(n)]


class Anything:
    """A gate's rule that promotes whatever was written."""

    name = "anything"

    def decide(self, before: Sequence[float], after: Sequence[float]) -> GateDecision:
        return replace(paired_gate(before, after), promote=True, reason="anything goes live")


ABLATIONS: dict[str, dict[str, Any]] = {
    "siblings": {"siblings": 0, "credit": "skill-r1"},
    "minibatch": {"minibatch": 1},
    "gate": {"rule": Anything()},
    "experience": {"experience": 0.0},
    "one-candidate": {"candidates": 1},
    "adaptive": {"adaptive": False},
}
"""Settings that take a part out of the loop."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A measured point: one row, seed and generation.

    `calls`, `read` and `written` are the loop's own, up to then: calls of both models, and tokens. `seconds` are processor time.
    """

    row: str
    seed: int
    generation: int
    solved: float
    reward: float
    shown: float
    tasks: int
    failed: int
    live: int
    calls: int = 0
    read: int = 0
    written: int = 0
    seconds: float = 0.0


@cache
def task_llm(name: str, max_tokens: int) -> Any:
    return chat_models.load(name, max_tokens=max_tokens)


@cache
def writer(name: str, max_tokens: int) -> Generator:
    found = generators.from_settings(Settings.load(generator=name, generator_max_tokens=max_tokens))
    assert found is not None  # noqa: S101 - a name was given
    return found


def drawn(options: argparse.Namespace, seed: int) -> Bench:
    """Returns a world's draw of a seed."""
    if options.world == "facts":
        llm = task_llm(options.model, options.max_tokens)
        return fact_world.bench(seed, llm=llm, facts=options.facts, noise=options.noise)
    if options.world == "sql":
        return sql_notes.bench(seed, data=options.data, databases=options.databases)
    if options.world == "textworld":
        import textworld  # noqa: PLC0415 - it needs parts of its own

        return textworld.bench(seed, weights=options.weights, fold=options.fold)
    given = {name: getattr(options, name) for name in ("tasks", "model", "base_url", "verifier", "max_tokens")}
    return own_tasks.bench(seed, **given)


def fixed(bench: Bench, row: str, seed: int) -> Line:
    """Measures a library that nothing changes."""
    texts = bench.library(row)
    with tempfile.TemporaryDirectory() as name:
        with library(Path(name), texts):
            pass
        found = served(bench, Path(name), bench.parts()[1])
    return _line(row, seed, 0, found, live=len(texts))


def loop(bench: Bench, row: str, seed: int, options: argparse.Namespace, changes: dict[str, Any]) -> Iterator[Line]:
    """Measures the library before `evolve` and after each generation."""
    settings = EvolveSettings(**{"generations": 1, "rollouts": 1, "concurrency": bench.max_concurrency} | changes)
    is_harmed = row.startswith("harmed")
    if is_harmed:
        generator: Generator = Harm()
    elif options.generator == "rules" and bench.rules is not None:
        generator = bench.rules
    else:
        generator = writer(options.generator, options.skill_tokens)
    with tempfile.TemporaryDirectory() as name:
        folder, (tasks, tests) = Path(name), bench.parts()
        with library(folder, bench.library("oracle" if is_harmed else "none")):
            pass
        spent = {"calls": 0, "read": 0, "written": 0, "seconds": 0.0}
        for generation in range(options.generations + 1):
            if generation:
                began = time.process_time()
                with library(folder) as store:
                    report = evolve(
                        tasks,
                        store=store,
                        llm=bench.llm,
                        generator=generator,
                        verifier=bench.verifier,
                        settings=settings,
                        new=True,
                    )
                spending = report.spending
                assert spending is not None  # noqa: S101 - the run has ended
                for one in (spending.task, spending.generator):
                    spent["calls"] += one.calls
                    spent["read"] += one.input_tokens
                    spent["written"] += one.output_tokens
                spent["seconds"] += time.process_time() - began
            with library(folder) as store:
                live = len(store.list("live"))
            yield replace(_line(row, seed, generation, served(bench, folder, tests), live=live), **spent)


def _line(row: str, seed: int, generation: int, found: Any, *, live: int) -> Line:
    return Line(
        row=row,
        seed=seed,
        generation=generation,
        solved=round(found.solved, 4),
        reward=round(found.reward, 4),
        shown=round(found.shown, 4),
        tasks=found.tasks,
        failed=found.failed,
        live=live,
    )


def measured(options: argparse.Namespace) -> Iterator[Line]:
    """Yields the lines that OUT.csv lacks."""
    known = {(line.row, line.seed) for line in read(options.out, Line)}
    rows: list[tuple[str, dict[str, Any]]] = [(row, {}) for row in options.rows]
    rows += [
        (f"{row} without {name}", ABLATIONS[name])
        for row in CHANGED
        if row in options.rows
        for name in options.ablation
    ]
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        bench = drawn(options, seed)
        for row, changes in rows:
            if (row, seed) in known:
                continue
            if row in FIXED:
                yield fixed(bench, row, seed)
            else:
                yield from loop(bench, row, seed, options, changes)


def whole(lines: Sequence[Line], generations: int) -> list[Line]:
    """Returns the lines without those of a loop that was interrupted."""
    last = {(line.row, line.seed): line.generation for line in lines}
    return [line for line in lines if line.row in FIXED or last[line.row, line.seed] >= generations]


def show(lines: Sequence[Line]) -> None:
    print("row\tgeneration\tsolved, 95 %\tseeds\tshown\tlive\tcalls\ttokens read, written\tCPU s")
    for row in dict.fromkeys(line.row for line in lines):
        for generation in sorted({line.generation for line in lines if line.row == row}):
            some = [line for line in lines if (line.row, line.generation) == (row, generation)]
            mean, half = interval([line.solved for line in some])
            means = {
                name: sum(getattr(line, name) for line in some) / len(some)
                for name in ("shown", "live", "calls", "read", "written", "seconds")
            }
            print(
                f"{row}\t{generation}\t{mean:.3f} +-{half:.3f}\t{len(some)}\t{means['shown']:.2f}\t{means['live']:.1f}\t"
                f"{means['calls']:.0f}\t{means['read']:.0f}, {means['written']:.0f}\t{means['seconds']:.0f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", choices=("facts", "sql", "textworld", "tasks"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="local:smollm2-135m")
    parser.add_argument("--generator", default="local:smollm2-135m@starter")
    parser.add_argument("--max-tokens", type=int, default=24, help="of one reply of the task LLM")
    parser.add_argument("--skill-tokens", type=int, default=160, help="of one text of the generator")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--data", type=Path, help="sql: InterCode-SQL's folder; see sql_notes.py")
    parser.add_argument("--databases", type=int, help="sql: families of a draw; by default all")
    parser.add_argument(
        "--weights", type=Path, help="textworld: folder of the executor's weights; trained if it has none"
    )
    parser.add_argument("--fold", choices=("train", "dev", "test"), default="test", help="textworld: whose games")
    parser.add_argument("--tasks", type=Path, help="tasks: a tasks file, as skill-plugin evolve reads it")
    parser.add_argument("--base-url", help="tasks: an OpenAI-compatible server")
    parser.add_argument("--verifier", help="tasks: of tasks that name none: a name, or module:function")
    parser.add_argument("--facts", type=int, default=12, help="families of a draw")
    parser.add_argument(
        "--noise", type=float, default=0.0, help="share of wrong answers that are not told what is right"
    )
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--ablation", nargs="*", choices=ABLATIONS, default=[])
    options = parser.parse_args()
    lines = whole(read(options.out, Line), options.generations)
    write(options.out, Line, lines)
    for line in measured(options):
        lines.append(line)
        write(options.out, Line, lines)  # after each: some take minutes
        print(f"{line.row}, seed {line.seed}, generation {line.generation}: {line.solved:.3f}", flush=True)
    show(lines)
    draw(
        options.out.with_suffix(".png"),
        lines,
        title=f"{options.world}: {drawn(options, options.first_seed).model}, written by {options.generator}",
    )


if __name__ == "__main__":
    main()
