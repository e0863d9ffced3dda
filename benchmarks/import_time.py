"""Milliseconds of `import skill_plugin`, and what it loads.

    python benchmarks/import_time.py [--json OUT]

Target: under 300 ms, and none of torch, chromadb, langgraph. The time is what `-X importtime` says, the median of
eleven fresh interpreters.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

RUNS = 11
HEAVY = ("torch", "chromadb", "langgraph", "transformers", "sqlmodel")


def once() -> float:
    command = [sys.executable, "-X", "importtime", "-c", "import skill_plugin"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return float(re.findall(r"\|\s+(\d+) \| skill_plugin$", said, re.MULTILINE)[-1]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    times = [once() for _ in range(RUNS)]
    code = "import sys, skill_plugin; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    figures = {
        "median_ms": round(statistics.median(times), 1),
        "max_ms": round(max(times), 1),
        "heavy_loaded": [name for name in HEAVY if name in loaded],
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
