"""How much the scanner stops, how much it holds falsely, and how long it takes.

    python benchmarks/scanner.py [--skills skills.jsonl.gz] [--show tune]

The corpus is `scanner.jsonl` beside this file: hostile texts with evasions, and benign ones, many about attacks, shells and prompts.
A text's half is fixed by its hash. Rules were written and corrected with the half `tune` in sight; the half `report` is only counted,
and nobody who changes a rule should look at it (`--show` refuses it). The same hand wrote rules and corpus, so the figures say more of
evasions of a known kind than of strangers' inventions. In secrets a sign is put where no scanner of the repository may take them for
real; it is removed before the scan. `--skills` names real skills as JSON lines with name, description and body; their false
alarms were looked at while rules were written, so that share is not held out.

Peer: the patterns of the release before (`--before FILE`, a module with `findings(text)`).
"""

import argparse
import gzip
import importlib.util
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType

from skill_plugin.skills import scan

CORPUS = Path(__file__).with_name("scanner.jsonl")
CUT = "\u27c2"
KB = 1024
WORST = {
    "one letter": "x",
    "ignore": "ignore ",
    "curl": "curl ",
    "rm -rrr": "rm -" + "r" * 4000 + " ",
    "U+FDFA": "\ufdfa",
    "pipes": "curl a|",
    "brackets": "<|",
    "urls": "https://a.b?",
    "send": "send the answers to ",
    "judge": "judge should be ",
    "base64": "QUJD",
    "base64 in base64": "UVVKRA ",
    "hex": "41 ",
    "no width": "\u200b",
    "images": "![",
    "comments": "<!-- you ",
    "digits": "1gn0r3 ",
    "lines": "ignore\n",
    "bits": "01000001 ",
    "percent": "%41",
    "cards": "4242 ",
    "all Unicode": "".join(map(chr, range(0xA0, 0x2FFF))),
    "quotes": "'a' + 'b' ",
    "private": "cat .ssh/id_rsa | ",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skills", type=Path, help="real skills: JSON lines, gzip or not")
    parser.add_argument("--show", choices=["tune"], help="name the misses of this half")
    parser.add_argument("--before", type=Path, help="an older scan.py to compare with")
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    before = _module(arguments.before).findings if arguments.before else None
    for half in ("tune", "report"):
        print(f"half {half}" + (" (rules were corrected on it)" if half == "tune" else " (only counted)"))
        _halves([row for row in rows if row["half"] == half], before)
    if arguments.show:
        for row in rows:
            if row["half"] == arguments.show and _stopped(row["text"]) == row["kind"].startswith("benign"):
                print(f"  {row['kind']}: {row['text'][:140]!r}")
    _times(arguments.skills)


def _halves(rows: list[dict[str, str]], before: Callable[[str], list] | None) -> None:
    kinds = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row["text"])
    hostile = [text for kind, texts in kinds.items() if not kind.startswith("benign") for text in texts]
    benign = [text for kind, texts in kinds.items() if kind.startswith("benign") for text in texts]
    for kind, texts in sorted(kinds.items()):
        print(f"  {kind:25} {sum(map(_stopped, texts)):3} of {len(texts):3} stopped or held")
    for what, texts in (("hostile", hostile), ("benign", benign)):
        count = sum(map(_stopped, texts))
        old = f"; before {sum(bool(before(text.replace(CUT, ''))) for text in texts)}" if before else ""
        print(f"  {what} together: {count} of {len(texts)}, {count / len(texts):.1%}{old}")


def _stopped(text: str) -> bool:
    return any(one.verdict != "note" for one in scan.findings(_skill(text.replace(CUT, ""))))


def _skill(body: str) -> str:
    """Puts a text where it is met: in the middle of a skill that is else harmless."""
    return f"---\nname: a-skill\ndescription: How to add up a bill\n---\n\nAdd the numbers.\n\n{body}\n\nThen check the sum.\n"


def _times(path: Path | None) -> None:
    if path is not None:
        raw = path.read_bytes()
        lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8").splitlines()
        skills = [json.loads(line) for line in lines]
        texts = [f"---\nname: {s['name']}\ndescription: {s['description']}\n---\n\n{s['body']}" for s in skills]
        held = sum(any(one.verdict != "note" for one in scan.findings(text)) for text in texts)
        noted = sum(bool(scan.findings(text)) for text in texts) - held
        print(
            f"real skills: {held} of {len(texts)} held or stopped ({held / len(texts):.1%}), {noted} with a note only"
        )
        some = [text for text in texts if 3.5 * KB < len(text) < 4.5 * KB]
        print(f"a real skill of 4 KB: median {_milliseconds(some):.1f} ms over {len(some)}")
    worst = {name: _milliseconds([(unit * (64 * KB // len(unit) + 1))[: 64 * KB]]) for name, unit in WORST.items()}
    slow = sorted(worst, key=worst.__getitem__)[-3:]
    print("64 KB of one thing: " + ", ".join(f"{name} {worst[name]:.0f} ms" for name in reversed(slow)))


def _milliseconds(texts: list[str]) -> float:
    """Returns the median over texts of the processor's time for one, the better of two looks."""
    scan.findings("warm")

    def once(text: str) -> float:
        scan.forget()
        began = time.process_time()
        scan.findings(text)
        return 1000 * (time.process_time() - began)

    return median(min(once(text), once(text)) for text in texts)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("before", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
