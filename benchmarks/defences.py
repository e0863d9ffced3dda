"""Takes out each defence that SECURITY.md claims, one at a time, and looks whether the test that it names notices.

    python benchmarks/defences.py [--only WORD] [--json OUT]

A defence is a function, which taken out does what stands in the table below instead, or a condition. That is done in a copy of the
tree, in which the claim's tests run until the first failure. A claim whose tests stay green without its defence has no test.
"""

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
CODE = ("skill_plugin", "store", "graphs", "integrations")


class Defence(NamedTuple):
    """What defends a claim. Without it `code` of `file`, a function (`Class.method` too) or some words that stand there once, is what
    `instead` says.
    """

    claim: str
    file: str
    code: str
    instead: str
    tests: str


DEFENCES = (
    Defence("no structure", "skill_plugin/quoting.py", "defused", "return text", "tests/test_quoting.py"),
    Defence(
        "every write is scanned",
        "skill_plugin/scanning/scanners.py",
        "Screen.__call__",
        "return ()",
        "tests/store/test_screening.py",
    ),
    Defence(
        "hostile revisions",
        "skill_plugin/scanning/scanners.py",
        "Screen.__call__",
        "return ()",
        "tests/graphs/test_evolve_screened.py",
    ),
    Defence(
        "answers are shut in",
        "skill_plugin/sandbox/kernel.py",
        "shut_in",
        "return set()",
        "tests/sandbox/test_containment.py",
    ),
    Defence(
        "functions are shut in",
        "skill_plugin/sandbox/kernel.py",
        "_landlock",
        "return True",
        "tests/functions/test_hostile.py",
    ),
    Defence(
        "functions call declared tools",
        "skill_plugin/functions/tool_desk.py",
        "if name not in self._function.tools:",
        "if not name:",
        "tests/functions/test_hostile.py",
    ),
    Defence(
        "nothing outlives it",
        "skill_plugin/sandbox/launcher.py",
        "_end_all",
        "return",
        "tests/sandbox/test_containment.py",
    ),
    Defence(
        "queries only read",
        "skill_plugin/verifiers/queries.py",
        " if action in _READS else sqlite3.SQLITE_DENY",
        "",
        "tests/verifiers/test_tricks.py -k query",
    ),
    Defence(
        "queries have limits",
        "skill_plugin/verifiers/queries.py",
        "time.monotonic() > deadline",
        "False",
        "tests/verifiers/test_tricks.py -k query",
    ),
    Defence(
        "a stranger's dump", "store/dumps/rows.py", "RowCheck._check", "return", "tests/store/test_hostile_dumps.py"
    ),
    Defence(
        "a stranger's archive",
        "skill_plugin/skills/archives.py",
        "_safe",
        "return PurePosixPath(name)",
        "tests/skills/test_hostile_archives.py",
    ),
    Defence(
        "a stranger's folder",
        "skill_plugin/skills/walk.py",
        "Walk._is_inside",
        "return True",
        "tests/skills/test_walk.py",
    ),
    Defence(
        "a stranger's files",
        "skill_plugin/skills/trees.py",
        "check_path",
        "return path",
        "tests/skills/test_trees.py",
    ),
    Defence(
        "no version inherits a permission",
        "store/dumps/dump.py",
        '"may_run": False, ',
        "",
        "tests/store/test_skill_folders.py",
    ),
    Defence(
        "made-up runs", "store/runs/outcomes.py", " or rollout.purpose == CLAIM", "", "tests/store/test_evidence.py"
    ),
    Defence(
        "one report a source",
        "store/runs/outcomes.py",
        "replaced=replaced,",
        "replaced=None,",
        "tests/store/test_evidence.py",
    ),
    Defence(
        "tiers: who raises",
        "skill_plugin/skills/tiers.py",
        "first_tier",
        "return 'certified'",
        "tests/store/test_tiers.py",
    ),
    Defence("tiers: who lowers", "store/skills/tiers.py", "demote", "return None", "tests/store/test_tiers.py"),
    Defence("tiers: what is shown", "store/skills/tiers.py", "is_shown", "return True", "tests/store/test_tiers.py"),
    Defence("a source is undone", "store/skills/reverting.py", "_leave", "return", "tests/store/test_reverting.py"),
    Defence(
        "records are signed", "skill_plugin/skills/record.py", "_signature", "return ''", "tests/store/test_evidence.py"
    ),
    Defence(
        "secrets are redacted",
        "skill_plugin/secrets_found.py",
        "Redactor.text",
        "return text",
        "tests/store/test_privacy.py",
    ),
    Defence(
        "texts are forgotten", "store/runs/forgetting.py", "forget_text", "return {}", "tests/store/test_privacy.py"
    ),
    Defence("files are closed", "store/sql/private_files.py", "_close", "return", "tests/store/test_privacy.py"),
    Defence(
        "writes of a client",
        "integrations/mcp/clients.py",
        "Clients.count_writes",
        "return",
        "tests/integrations/test_http_limits.py",
    ),
    Defence(
        "slow clients",
        "integrations/mcp/clients.py",
        "LimitedProtocol._expect",
        "return",
        "tests/integrations/test_http_limits.py",
    ),
    Defence(
        "tenants", "store/skills/versions.py", "SkillRow.namespace == namespace, (", "(", "tests/store/test_tenants.py"
    ),
    Defence("a hung store", "store/guard.py", "bounded", "return call()", "tests/graphs/test_store_errors.py"),
    Defence("a full disk", "store/sql/reserve.py", "make", "return", "tests/store/test_full_disk.py"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="Only claims with this word.")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for defence in DEFENCES:
        if arguments.only not in defence.claim:
            continue
        started = time.monotonic()
        noticed, said = notices(defence)
        rows.append({**defence._asdict(), "noticed": noticed, "by": said, "seconds": round(time.monotonic() - started)})
        print(f"{'noticed' if noticed else 'NOT NOTICED':12} {defence.claim:24} {defence.code:28} {said}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(not all(row["noticed"] for row in rows))


def notices(defence: Defence) -> tuple[bool, str]:
    """Returns whether a test fails without the defence, and the first that does."""
    with tempfile.TemporaryDirectory(prefix="defences-") as folder:
        tree = Path(folder, "tree")
        tracked = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for name in tracked:
            if name.startswith((*CODE, "tests", "pyproject.toml")):
                tree.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, tree / name, follow_symlinks=False)
        take_out(tree / defence.file, defence.code, defence.instead)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "--timeout",
            "300",
            "-p",
            "no:cacheprovider",
            *defence.tests.split(),
        ]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        ran = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    failed = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return ran.returncode == 1, failed[0][:120] if failed else ran.stdout.splitlines()[-1]


def take_out(file: Path, code: str, instead: str) -> None:
    """Replaces a function's body, or words."""
    source = file.read_text()
    if not code.replace(".", "").isidentifier():
        if source.count(code) != 1:
            raise SystemExit(f"{code!r} stands {source.count(code)} times in {file.name}; bring the table up to date")
        file.write_text(source.replace(code, instead))
        return
    body: list[ast.stmt] = ast.parse(source).body
    for name in code.split("."):
        found = next(one for one in body if getattr(one, "name", None) == name)
        body = found.body  # type: ignore[attr-defined]
    lines = source.splitlines(keepends=True)
    first, last = body[0].lineno - 1, body[-1].end_lineno
    lines[first:last] = [f"{' ' * body[0].col_offset}{instead}\n"]
    file.write_text("".join(lines))


if __name__ == "__main__":
    sys.exit(main())
