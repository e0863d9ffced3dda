"""Whole skill folders through a store: how many come out as they went in, to the byte.

    python benchmarks/skill_folders.py [--data FOLDER] [--count 100] [--json OUT]

`--data` has public skills: SKILL.md files, or JSON lines (.jsonl, .jsonl.gz) whose `body`, `text`, `principle` or `content` is a text;
without it the texts are made up. Beside each text a folder in the shape of public ones is made, the same on every machine: nothing, or
scripts, references and assets, with empty files, CRLF, other scripts than Latin, binary files and files that may be executed. All are
imported as a folder, a .zip and a .tar.gz, and exported as a folder and a .zip, once without records and once with.

`equal` counts skills whose every file, SKILL.md among them, is what it was; `equal_with_record` the same after the record that an
export signs is taken out of the SKILL.md. `again` counts skills that an import of the export knows. Target: all of them.
"""

import argparse
import gzip
import hashlib
import json
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from skill_plugin.skills.record import without_record
from skill_plugin.skills.skill_files import SKILL_FILE
from skill_plugin.store import SkillStore

KEYS = ("body", "text", "principle", "content")
LONGEST = 40_000

Folder = dict[str, bytes]


def texts_of(data: Path) -> Iterator[str]:
    """Yields the texts of public skills below a folder, each once."""
    seen = set()
    for path in sorted(data.rglob("*")):
        if path.name.endswith((".jsonl", ".jsonl.gz")):
            with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
                found = [_text(json.loads(line)) for line in file if line.strip()]
        else:
            found = [path.read_text(encoding="utf-8", errors="replace")] if path.name == SKILL_FILE else []
        for text in found:
            if text.strip() and text not in seen:
                seen.add(text)
                yield text[:LONGEST]


def _text(row: Any) -> str:
    return next((row[key] for key in KEYS if isinstance(row, dict) and isinstance(row.get(key), str)), "")


def made_up(count: int) -> list[str]:
    """Returns texts that are made up, each of its own."""
    return [f"# Procedure {number}\n\n1. Look at case {number}.\n2. Do step {number * 7}.\n" for number in range(count)]


def folders(texts: Sequence[str], count: int) -> dict[str, Folder]:
    """Returns skill folders by name: a text each, and files beside it that depend on the number alone."""
    made = {}
    for number in range(count):
        name = f"public-{number:03d}"
        made[name] = {SKILL_FILE: _skill_md(name, number, texts[number % len(texts)]), **_beside(number)}
    return made


def _skill_md(name: str, number: int, body: str) -> bytes:
    front = f"name: {name}\ndescription: How to do what public skill {number} says\n"
    front += [
        "",
        "license: MIT\n",
        "metadata:\n  author: somebody\n  version: '1.0'\n",
        "allowed-tools: [Read, Bash]\n",
    ][number % 4]
    own = body.partition("\n---\n")[2] if body.startswith("---\n") else body  # a SKILL.md has front matter of its own
    text = f"---\n{front}---\n\n{own.strip() or body}\n"
    return (text.replace("\r\n", "\n").replace("\n", "\r\n") if number % 10 == 9 else text).encode()


def _beside(number: int) -> Folder:
    """Returns the files of a folder: of four none, three of twenty files, the rest in between."""
    files: Folder = {}
    if number % 4:
        end = b"\r\n" if number % 3 == 0 else b"\n"
        files["scripts/totals.py"] = end.join(
            [
                b"import json",
                b"",
                b"def total(numbers: list) -> float:",
                f"    return sum(numbers) + {number}".encode(),
                b"",
            ]
        )
        files["references/guide.md"] = f"# Führer {number}: 手引き\n\nWithout a last line end".encode()
    if number % 4 > 1:
        files["scripts/run.sh"] = f"#!/bin/sh\necho {number}\n".encode()
        files["assets/template.bin"] = hashlib.sha256(str(number).encode()).digest() * (1 + number % 50)
        files["references/empty.md"] = b""
    if number % 4 > 2:
        files["logo.png"] = b"\x89PNG\r\n\x1a\n" + hashlib.sha256(f"png {number}".encode()).digest()
        files["references/deep/er/notes ü.txt"] = b"\xef\xbb\xbfwith a mark\n"
        files["LICENSE"] = b"MIT\n"
    if number % 33 == 32:
        files |= {f"assets/part-{part}.json": json.dumps({"part": part}).encode() for part in range(20 - len(files))}
    return files


def lay(root: Path, made: dict[str, Folder]) -> Path:
    """Writes folders below a root; what begins with `#!` may be executed."""
    for name, files in made.items():
        for path, data in files.items():
            target = root / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            if data.startswith(b"#!"):
                target.chmod(0o755)
    return root


def on_disk(root: Path) -> dict[str, Folder]:
    """Returns the folders below a root; whether a file may be executed is a part of its content here."""
    found: dict[str, Folder] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            name, _, rest = path.relative_to(root).as_posix().partition("/")
            found.setdefault(name, {})[rest] = bytes([path.stat().st_mode & 0o100 > 0]) + path.read_bytes()
    return found


def unpacked(archive: Path, root: Path) -> Path:
    """Unpacks a .zip that an export wrote."""
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            target = Path(file.extract(info, root))
            target.chmod(info.external_attr >> 16 & 0o777)
    return root


def journey(made: dict[str, Folder], root: Path, embedder: str = "hashing") -> dict[str, Any]:
    """Takes folders through stores, in three forms and out in two; returns what came out as it went in."""
    source = lay(root / "source", made)
    before = on_disk(source)
    places = {"folder": source, "zip": root / "in.zip", "tar.gz": root / "in.tar.gz"}
    with zipfile.ZipFile(places["zip"], "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(source.rglob("*")):
            packed.write(path, path.relative_to(source))
    with tarfile.open(places["tar.gz"], "w:gz") as tarred:
        tarred.add(source, "pack")
    found: dict[str, Any] = {}
    for form, place in places.items():
        with SkillStore.open(root / f"store-{form}", embedder=embedder, chroma=False, scanners=[]) as store:
            began = time.perf_counter()
            report = store.import_skills(place)
            seconds = time.perf_counter() - began
            store.export_skills(root / f"{form}-out", records=False)
            store.export_skills(root / f"{form}-out.zip")
            again = store.import_skills(root / f"{form}-out").already_there
            again_zip = store.import_skills(root / f"{form}-out.zip").already_there
        bare = on_disk(root / f"{form}-out")
        signed = on_disk(unpacked(root / f"{form}-out.zip", root / f"{form}-unpacked"))
        found[form] = {
            "imported": len(report.added),
            "equal": sum(bare.get(name) == files for name, files in before.items()),
            "equal_with_record": sum(_bare(signed.get(name, {})) == files for name, files in before.items()),
            "again": len(set(again) & set(again_zip) & before.keys()),
            "import_ms_a_skill": round(1000 * seconds / len(before), 2),
        }
    return found


def _bare(files: Folder) -> Folder:
    text = files.get(SKILL_FILE, b"\x00")
    return {**files, SKILL_FILE: text[:1] + without_record(text[1:].decode())[0].encode()}


def held(made: dict[str, Folder], root: Path) -> int:
    """Returns how many of the folders our own scanner holds or refuses."""
    with SkillStore.open(root / "scanned", embedder="hashing", chroma=False, scanners=["built-in"]) as store:
        report = store.import_skills(lay(root / "to-scan", made), skip_invalid=True)
        return len(report.held) + len(report.refused)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="public skills; see above")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    texts = list(texts_of(options.data)) if options.data else made_up(options.count)
    if not texts:
        parser.error(f"there is no text in {str(options.data)!r}; give a folder with SKILL.md files or JSON lines")
    made = folders(texts, options.count)
    with tempfile.TemporaryDirectory(prefix="skill-folders-") as folder:
        found = journey(made, Path(folder))
        stopped = held(made, Path(folder))
    files = sum(len(one) for one in made.values())
    size = sum(len(data) for one in made.values() for data in one.values())
    print(
        f"{len(made)} folders of {len(set(texts))} texts, {files} files, {size / 1e6:.2f} MB; the scanner stops {stopped}"
    )
    for form, row in found.items():
        print(f"{form:7}", ", ".join(f"{name} {value}" for name, value in row.items()))
    if options.json:
        shape = {"folders": len(made), "texts": len(set(texts)), "files": files, "bytes": size, "stopped": stopped}
        options.json.write_text(json.dumps({**shape, **found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
