"""Six languages: which skill a task gets, and which unrelated questions get one. MiniLM, which learned English.

    python benchmarks/languages.py

For each language a library of 12 skills, 12 tasks in other words, one for each skill, and 40 questions that no skill serves
(`languages.json`). Beside it the same with the constant floor of 0.25, which English has.
"""

import json
import tempfile
from pathlib import Path

from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.store import SkillStore
from skill_plugin.store.search import search

TEXTS = json.loads(Path(__file__).with_name("languages.json").read_text(encoding="utf-8"))


def measure(
    skills: list[str], asked: list[str], unrelated: list[str], embedder: MiniLMEmbedder
) -> tuple[int, int, int]:
    """Returns how many tasks get their skill, how many another one, and how many unrelated questions get one."""
    with tempfile.TemporaryDirectory() as home, SkillStore.open(home, embedder=embedder, chroma=False) as store:
        for number, description in enumerate(skills):
            store.add(name=f"skill-{number}", description=description, body="1. Do it.")
        hits = [store.search(task, k=1) for task in asked]
        right = sum(bool(found) and found[0].name == f"skill-{number}" for number, found in enumerate(hits))
        false = sum(bool(store.search(question, k=1)) for question in unrelated)
    return right, sum(map(bool, hits)) - right, false


def main() -> None:
    embedder = MiniLMEmbedder()
    rows = [(name, one["skills"], one["asked"], one["unrelated"]) for name, one in TEXTS.items()]
    english = TEXTS["en"]["skills"]
    rows += [(f"{name}, skills in English", english, one["asked"], one["unrelated"]) for name, one in TEXTS.items()][1:]
    print("language | right, wrong of 12; false of 40 | with a constant floor")
    measured = search.language_group
    for name, *texts in rows:
        search.language_group = measured
        now = measure(*texts, embedder)
        search.language_group = lambda _: None
        constant = measure(*texts, embedder)
        print(f"{name} | {now[0]}, {now[1]}; {now[2]} | {constant[0]}, {constant[1]}; {constant[2]}")


if __name__ == "__main__":
    main()
