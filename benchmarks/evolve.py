"""`evolve` with a simulated task LLM of 50 ms: wall time over the ideal, peak memory, and the same after a kill at half.

    python benchmarks/evolve.py [--tasks 200] [--generations 5] [--candidates 4] [--rollouts 4] [--concurrency 32] [--json OUT]

Our side: `evolve(...)` with LangGraph, a store in SQLite (synchronous=FULL), a simulated task LLM (an async function that
sleeps), a simulated generator that answers at once, a verifier, no siblings and no gate, and every generation has all
its candidates and rollouts. The ideal is calls x 50 ms / concurrency. The peer, run before and after in the same
process: the same sleeps by bare asyncio under a semaphore, without a record of anything. Target: at most 1.25 times the
ideal.

Then the same again in a child process, which is killed (SIGKILL) when half of the calls have ended, and once more to its
end. `recorded_twice` counts rollouts that were in the store at the kill and were run again; `in_the_air` those that ended or
were under way but not committed, which cannot be known and are run again.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from skill_plugin.graphs import EvolveReport, EvolveSettings, evolve
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.store import SkillStore

SECONDS = 0.05
TEXT = "---\nname: {name}\ndescription: A simulated procedure\n---\n\nStep {generation}, variant {candidate}.\n"


class SimulatedWriter:
    """A generator that writes different texts at once, with a prompt of 4,000 characters."""

    def propose(self, task: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        generation = max(one.number for one in history) + 1
        prompt = ({"role": "user", "content": task.input.ljust(4000, ".")},)
        return [
            Revision(
                completion=TEXT.format(name=f"simulated-{task.id[5:15]}", generation=generation, candidate=candidate),
                prompt=prompt,
            )
            for candidate in range(n)
        ]


def simulated_llm(log: int | None = None) -> Callable[[Any], Awaitable[str]]:
    """Makes a task LLM that sleeps; it logs a byte when it has answered."""

    async def answer(_given: Any) -> str:
        await asyncio.sleep(SECONDS)
        if log is not None:
            os.write(log, b".")
        return "answer"

    return answer


def run(folder: Path, arguments: argparse.Namespace, log: int | None = None) -> tuple[EvolveReport, float, float]:
    """Runs `evolve`; returns its report, wall seconds and CPU seconds."""
    tasks = [Task(f"Simulated task number {number}", split="train") for number in range(arguments.tasks)]
    settings = EvolveSettings(
        generations=arguments.generations,
        candidates=arguments.candidates,
        rollouts=arguments.rollouts,
        concurrency=arguments.concurrency,
        adaptive=False,
        siblings=0,
        minibatch=1,
    )
    with SkillStore.open(folder, embedder="hashing", chroma=False) as store:
        started, used = time.perf_counter(), time.process_time()
        result = evolve(
            tasks,
            store=store,
            llm=simulated_llm(log),
            generator=SimulatedWriter(),
            verifier=lambda _task, _answer: 0.5,
            settings=settings,
        )
        return result, time.perf_counter() - started, time.process_time() - used


async def bare(calls: int, concurrency: int) -> float:
    """Runs the peer; returns its seconds."""
    slots = asyncio.Semaphore(concurrency)

    async def call() -> None:
        async with slots:
            await asyncio.sleep(SECONDS)

    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(calls)))
    return time.perf_counter() - started


def killed_at_half(arguments: argparse.Namespace, calls: int) -> dict[str, Any]:
    """Measures the cost of a kill."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "calls")
        log.touch()
        command = [sys.executable, __file__, "--child", folder]
        for name in ("tasks", "generations", "candidates", "rollouts", "concurrency"):
            command += [f"--{name}", str(getattr(arguments, name))]
        child = subprocess.Popen(command)
        while log.stat().st_size < calls / 2 and child.poll() is None:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
        before = log.stat().st_size
        started = time.perf_counter()
        end = subprocess.run(command, check=True, capture_output=True, text=True)
        said = json.loads(end.stdout.splitlines()[-1])
        recorded = said["recorded_before"]
        again = log.stat().st_size - before
        return {
            "calls_before": before,
            "recorded_before": recorded,
            "calls_after": again,
            "recorded_twice": again - (calls - recorded),
            "in_the_air": before - recorded,
            "seconds_after": round(time.perf_counter() - started, 2),
            "outcome": said["outcome"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--rollouts", type=int, default=4)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        log = os.open(arguments.child / "calls", os.O_APPEND | os.O_WRONLY)
        result, _, _ = run(arguments.child / "store", arguments, log)
        print(json.dumps({"outcome": result.outcome, "recorded_before": result.recorded_before}))
        return
    calls = arguments.tasks * arguments.rollouts * (1 + arguments.candidates * arguments.generations)
    ideal = calls * SECONDS / arguments.concurrency
    peer = [asyncio.run(bare(calls, arguments.concurrency))]
    with tempfile.TemporaryDirectory() as folder:
        result, seconds, used = run(Path(folder, "store"), arguments)
    if result.spending is None or result.spending.task.calls != calls:
        raise SystemExit(f"{result.outcome}: not every rollout was run")
    peer.append(asyncio.run(bare(calls, arguments.concurrency)))
    figures = {
        "calls": calls,
        "ideal_s": round(ideal, 2),
        "evolve_s": round(seconds, 2),
        "bare_asyncio_s": [round(one, 2) for one in peer],
        "over_ideal": round(seconds / ideal, 3),
        "over_bare_asyncio": round(seconds / (sum(peer) / 2), 3),
        "cpu_ms_a_call": round(1000 * used / calls, 3),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "killed_at_half": killed_at_half(arguments, calls),
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
