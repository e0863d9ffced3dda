"""Minutes from an empty folder to the end of `make demo`, and what the demonstration solved.

    python benchmarks/fresh_clone.py [--json OUT]

Clones the commit that is checked out into a temporary folder and types `make demo` there: a new virtual environment, every
package installed, then the demonstration. Targets: under 6 minutes, of which the demonstration itself under 30 seconds. How
long the packages take depends on the network and on pip's cache; the second figure does not.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone, figures_file = Path(folder, "clone"), Path(folder, "demo.json")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        started = time.perf_counter()
        subprocess.run(["make", "demo", f"DEMO_ARGS=--json {figures_file}"], cwd=clone, check=True)
        minutes = (time.perf_counter() - started) / 60
        figures = {"minutes": round(minutes, 2), "demo": json.loads(figures_file.read_text(encoding="utf-8"))}
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
