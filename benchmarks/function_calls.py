"""How long a call of a skill's function takes, over a bare start of the interpreter, in the same run.

    python benchmarks/function_calls.py [--calls 40]

`bare` is `python -I -S -c pass`, waited for. Each round measures all of them, one after the other, so that a busy machine is busy for all.
`warm` finds a process that was started meanwhile, as calls that do not follow each other within its start do; `cold` starts its own.
`in a row` are calls without a pause: each second one or so has to wait for the start of its process.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from skill_plugin.functions import FunctionPackage, SandboxRunner, UnsafeSubprocessRunner

SOURCE = b'''
def refund_duplicates(customer: str) -> dict:
    """Refunds what a customer paid twice."""
    seen, done = set(), []
    for charge in tools.list_charges(customer=customer):
        if charge["cents"] in seen:
            tools.refund(charge=charge["id"])
            done.append(charge["id"])
        seen.add(charge["cents"])
    return {"refunded": done}
'''
CHARGES = [{"id": str(place), "cents": place % 7} for place in range(10)]
TOOLS = {"list_charges": lambda _: CHARGES, "refund": lambda _: None}


def milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=40)
    calls = parser.parse_args().calls
    package = FunctionPackage.read({"scripts/refunds.py": SOURCE}, ("list_charges", "refund"))
    warm, cold, unsafe = SandboxRunner(), SandboxRunner(is_warm=False), UnsafeSubprocessRunner(is_warm=False)

    def of(runner: SandboxRunner) -> Callable[[], object]:
        return lambda: runner.run(package, "refund_duplicates", {"customer": "anna"}, TOOLS).value["refunded"]

    measured: dict[str, Callable[[], object]] = {
        "bare": lambda: subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True, env={}),
        "cold": of(cold),
        "warm": of(warm),
        "unsafe-subprocess, cold": of(unsafe),
    }
    of(warm)()
    took: dict[str, list[float]] = {name: [] for name in [*measured, "in a row"]}
    for _ in range(calls):
        for name, call in measured.items():
            time.sleep(0.3)  # until the next process has started
            took[name].append(milliseconds(call))
    took["in a row"] = [milliseconds(of(warm)) for _ in range(calls)]
    bare = statistics.median(took["bare"])
    print(
        f"{calls} calls each; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; a function that calls tools 4 times"
    )
    print(f"{'':24} {'median':>8} {'least':>8} {'p90':>8}   over bare   of bare")
    for name, times in took.items():
        median, p90 = statistics.median(times), statistics.quantiles(times, n=10)[-1]
        print(f"{name:24} {median:6.1f} ms {min(times):6.1f} {p90:8.1f} {median - bare:+9.1f} ms {median / bare:8.2f}")


if __name__ == "__main__":
    main()
