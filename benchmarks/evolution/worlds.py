"""What a world's skills are worth on its held-out tasks, each through the product's graph: with no skill, with others' and with the best.

    python benchmarks/evolution/worlds.py sql --data DIR [--seeds 3]
    python benchmarks/evolution/worlds.py textworld --weights DIR [--seeds 3]
    python benchmarks/evolution/worlds.py tasks --tasks FILE --model openai:gpt-5-mini [--base-url URL] [--verifier NAME]

Rows:

    none       no skills
    starting   what a person begins with: found by search, and hollow
    wrong      each family's description above another family's text
    rules      (sql, textworld) what a generator without a model wrote of the train tasks, one after the other, with no gate
    oracle     the skills of an editor who knows everything

`shown` is the share of tasks that got a skill; seconds are processor time. A world without oracle skills has the first two rows.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.append(str(Path(__file__).resolve().parent.parent))
from bench import Bench
from measure import Served, library, served
from serving import interval

from skill_plugin import prompts, verifiers
from skill_plugin.errors import SkillPluginError
from skill_plugin.protocols import Generator
from skill_plugin.records import Generation, Rollout
from skill_plugin.skills.skill_md import parse


def written(bench: Bench, writer: Generator) -> list[str]:
    """Returns what a generator makes of a pass over the train tasks: each family's text is revised on each task that fails."""
    judge, texts = verifiers.as_verifier(bench.verifier), dict[str, str]()
    for task in bench.train:
        text = texts.get(task.family)
        shown = prompts.guidance([("skill@1", parse(text).name, text)] if text else [])
        answer = str(bench.llm({"task": task.input, "guidance": shown}))  # type: ignore[operator] # a simulated one
        verdict = judge.verify(task, answer)
        if not verdict.passed:
            tried = Rollout(generation=0, answer=answer, reward=verdict.reward, passed=False, feedback=verdict.feedback)
            history = [Generation(number=0, text=text, rollouts=(tried,))]
            texts[task.family] = writer.propose(task, history, n=1)[0].text or ""
    return list(texts.values())


def rows(bench: Bench) -> Iterator[tuple[str, Callable[[], Sequence[str]]]]:
    """Yields the rows' names, each with how its texts are had."""
    for row in ("none", "starting", "wrong", "oracle"):
        if row == "oracle" and (writer := bench.rules) is not None:
            yield "rules", partial(written, bench, writer)
        if row == "none" or bench.library(row):
            yield row, partial(bench.library, row)


def measured(bench: Bench, texts: Sequence[str], number: int | None) -> Served:
    """Runs held-out tasks, at most `number`, through the graph of a library of these texts."""
    tasks = sorted(bench.heldout, key=lambda task: task.content_hash)[:number]
    with tempfile.TemporaryDirectory() as name:
        with library(Path(name), texts):
            pass
        return served(bench, Path(name), tasks)


def world(options: argparse.Namespace) -> Callable[[int], Bench]:
    """Returns what makes a seed's bench."""
    if options.world == "sql":
        import sql_notes  # noqa: PLC0415 - each world needs parts of its own

        return partial(sql_notes.bench, data=options.data, databases=options.databases)
    if options.world == "textworld":
        import textworld  # noqa: PLC0415

        return partial(textworld.bench, weights=options.weights, fold=options.fold)
    import own_tasks  # noqa: PLC0415

    given = {key: getattr(options, key) for key in ("tasks", "model", "base_url", "verifier", "max_tokens")}
    return partial(own_tasks.bench, **given)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    worlds = parser.add_subparsers(dest="world", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seeds", type=int, default=3)
    common.add_argument("--heldout", type=int, help="at most so many held-out tasks of a seed")
    sql = worlds.add_parser("sql", parents=[common], help="notes on schemas, a replay of logged SQL")
    sql.add_argument("--data", type=Path, required=True, help="InterCode-SQL's folder; see sql_notes.py")
    sql.add_argument("--databases", type=int, help="families of a seed, drawn; by default all")
    twc = worlds.add_parser("textworld", parents=[common], help="where things belong, a small transformer")
    twc.add_argument(
        "--weights", type=Path, required=True, help="folder of the executor's weights; it is trained where it has none"
    )
    twc.add_argument("--fold", choices=("train", "dev", "test"), default="test")
    own = worlds.add_parser("tasks", parents=[common], help="tasks of your own, any model")
    own.add_argument("--tasks", type=Path, required=True, help="a tasks file, as skill-plugin evolve reads it")
    own.add_argument("--model", required=True)
    own.add_argument("--base-url")
    own.add_argument("--verifier", help="of tasks that name none: a name, or module:function")
    own.add_argument("--max-tokens", type=int, help="of one reply")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    make = world(options)
    found: dict[str, list[tuple[Served, float]]] = {}
    for seed in range(1, options.seeds + 1):
        bench = make(seed)
        if seed == 1:
            print(
                f"{bench.name}: {bench.model}; {len(bench.train)} train tasks, {len(bench.heldout)} held out; {bench.notes}"
            )
        for name, texts in rows(bench):
            began = time.process_time()
            outcome = measured(bench, texts(), options.heldout)
            found.setdefault(name, []).append((outcome, time.process_time() - began))
            print(f"  seed {seed}, {name}: {outcome.solved:.3f}", file=sys.stderr, flush=True)
    print("row\tsolved, 95 %\treward\tshown\tcalls\tfailed\tseconds")
    for name, outcomes in found.items():
        mean, half = interval([one.solved for one, _ in outcomes])
        reward, shown = (interval([getattr(one, key) for one, _ in outcomes])[0] for key in ("reward", "shown"))
        calls, failed = sum(one.tasks for one, _ in outcomes), sum(one.failed for one, _ in outcomes)
        seconds = sum(spent for _, spent in outcomes)
        print(f"{name}\t{mean:.3f} +-{half:.3f}\t{reward:.3f}\t{shown:.2f}\t{calls}\t{failed}\t{seconds:.0f}")


if __name__ == "__main__":
    try:
        main()
    except SkillPluginError as exc:
        raise SystemExit(str(exc)) from exc
