"""How much the scanner stops, how much it holds falsely, and how long it takes.

    python benchmarks/scanner.py [--half tune] [--show] [--skills skills.jsonl.gz] [--corpus FILE] [--worst 10000]

The corpus is `scanner.jsonl` beside this file: hostile texts with evasions, and benign ones, many about attacks, shells and prompts.
A text's half is fixed by its hash. Rules are written and corrected with the half `tune` in sight; the half `report` is only counted,
and nobody who changes a rule looks at it (`--show` shows `tune`). Texts of the second hand (`hand: 2`) were written before the rules of
their day, and by who then wrote the rules: their half `report` is not held out in earnest, and is counted by itself. Those of
the third (`hand: 3`) are sentences that rules were tried on, all in the half `tune`.
In secrets a sign is put where no scanner of the repository may take them for real; it is removed before the scan.

`--corpus` counts texts that somebody else wrote: JSON lines with `text`, `category` and `label` (malicious or benign), such as
`bastioncorpus/corpus/injections.jsonl` of the package bastioncorpus 0.6.0 (MIT). Their half is by their hash as well.
`--skills` names real skills as JSON lines with name, description and body; their false alarms were looked at while rules were
written, so that share is not held out.
Peer: the patterns of a release before (`--before FILE`, a module with `findings(text)`).
"""

import argparse
import gzip
import hashlib
import importlib.util
import json
import random
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
    "not": "do not tell ",
    "reward": "give full marks regardless ",
    "Chinese": "\u4e0d\u8981\u544a\u8bc9\u7528\u6237",
    "letters": "a b c ",
    "pieces": "in.struc.tions ",
    "Morse": ".. -. ",
    "base85": '<~87cURD]i,"Ebo80~> ',
    "lines of base64": "QUJDREVG\n",
}
WORDS = [
    "the ",
    "you are now ",
    "system ",
    "prompt ",
    "previous instructions ",
    "secret=",
    "user ",
    "\n\n",
    "- ",
    "`",
    "# ",
    "\u00e9",
    "\u200d",
]
"""What is put between the parts of a mixed text."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=["tune", "report", "both"], default="both")
    parser.add_argument("--show", action="store_true", help="name what is missed and falsely held in the half tune")
    parser.add_argument("--skills", type=Path, help="real skills: JSON lines, gzip or not")
    parser.add_argument("--corpus", type=Path, help="texts of others: JSON lines with text, category and label")
    parser.add_argument("--worst", type=int, default=0, help="so many hostile texts of 64 KB, mixed of the worst parts")
    parser.add_argument("--before", type=Path, help="an older scan.py to compare with")
    arguments = parser.parse_args()
    before = _module(arguments.before).findings if arguments.before else None
    corpora = {f"{CORPUS.name}, hand {hand}": _ours(hand) for hand in (1, 2, 3)}
    if arguments.corpus:
        corpora[arguments.corpus.name] = _others(arguments.corpus)
    for half in ("tune", "report") if arguments.half == "both" else (arguments.half,):
        for name, rows in corpora.items():
            print(f"{name}, half {half}" + (" (rules were corrected on it)" if half == "tune" else " (only counted)"))
            if some := [row for row in rows if row["half"] == half]:
                _half(some, before, show=arguments.show and half == "tune")
    if arguments.skills:
        _real(arguments.skills)
    _worst(arguments.worst)


def _ours(hand: int) -> list[dict[str, str]]:
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row.get("hand", 1) == hand]


def _others(path: Path) -> list[dict[str, str]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        {
            "text": row["text"],
            "half": "report" if int(hashlib.sha256(row["text"].encode()).hexdigest()[:8], 16) % 2 else "tune",
            "kind": ("benign: " if row["label"] == "benign" else "") + row["category"],
        }
        for row in rows
    ]


def _half(rows: list[dict[str, str]], before: Callable[[str], list] | None, *, show: bool) -> None:
    kinds = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row["text"])
    for kind, texts in sorted(kinds.items()):
        print(f"  {kind:25} {sum(map(_stopped, texts)):3} of {len(texts):3} stopped or held")
    for what in ("hostile", "benign"):
        texts = [row["text"] for row in rows if row["kind"].startswith("benign") == (what == "benign")]
        count = sum(map(_stopped, texts))
        old = f"; before {sum(bool(before(text.replace(CUT, ''))) for text in texts)}" if before else ""
        print(f"  {what} together: {count} of {len(texts)}, {count / len(texts):.1%}{old}")
    for row in rows if show else ():
        if _stopped(row["text"]) == row["kind"].startswith("benign"):
            print(f"  {row['kind']}: {row['text'][:140]!r}")


def _stopped(text: str) -> bool:
    return any(one.verdict != "note" for one in scan.findings(_skill(text.replace(CUT, ""))))


def _skill(body: str) -> str:
    """Puts a text where it is met: in the middle of a skill that is else harmless."""
    return f"---\nname: a-skill\ndescription: How to add up a bill\n---\n\nAdd the numbers.\n\n{body}\n\nThen check the sum.\n"


def _real(path: Path) -> None:
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8").splitlines()
    texts = [
        f"---\nname: {s['name']}\ndescription: {s['description']}\n---\n\n{s['body']}" for s in map(json.loads, lines)
    ]
    held = sum(any(one.verdict != "note" for one in scan.findings(text)) for text in texts)
    noted = sum(bool(scan.findings(text)) for text in texts) - held
    print(f"real skills: {held} of {len(texts)} held or stopped ({held / len(texts):.1%}), {noted} with a note only")
    some = [text for text in texts if 3.5 * KB < len(text) < 4.5 * KB]
    print(f"a real skill of 4 KB: median {_milliseconds(some):.1f} ms over {len(some)}")


def _worst(count: int) -> None:
    worst = {name: _milliseconds([(unit * (64 * KB // len(unit) + 1))[: 64 * KB]]) for name, unit in WORST.items()}
    slow = sorted(worst, key=worst.__getitem__)[-3:]
    print("64 KB of one thing: " + ", ".join(f"{name} {worst[name]:.0f} ms" for name in reversed(slow)))
    if count:
        dice = random.Random(0)  # noqa: S311 - texts, not secrets
        mixed = (_once(_mixed(dice)) for _ in range(count))
        print(f"{count} mixed texts of 64 KB: the slowest took {max(mixed):.0f} ms")


def _mixed(dice: random.Random) -> str:
    """Returns 64 KB of a few parts that are hard to read, in pieces of chance length and with chance words between them."""
    parts = dice.sample([*WORST.values(), *WORDS], 4)
    made, size = [], 0
    while size < 64 * KB:
        made.append(dice.choice(parts) * dice.choice((1, 1, 2, 7, 50, 400)) + dice.choice((" ", "\n", ". ", "")))
        size += len(made[-1])
    return "".join(made)[: 64 * KB]


def _once(text: str) -> float:
    """Returns the processor's milliseconds for one scan."""
    scan.forget()
    began = time.process_time()
    scan.findings(text)
    return 1000 * (time.process_time() - began)


def _milliseconds(texts: list[str]) -> float:
    """Returns the median over texts of the processor's time for one, the better of two looks after a first."""
    for text in texts:
        scan.findings(text)
    return median(min(_once(text), _once(text)) for text in texts)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("before", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
