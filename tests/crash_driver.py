"""A process that works on a store until it is killed.

    python tests/crash_driver.py HOME SEED FIRST LAST [--chroma]

What step n does follows from the seed, n and the state of the store. A store that was killed and goes on at the next
step therefore ends as one that never was killed. Prints `ready`, then one JSON line `[n, operation, result]` for each
step once it has returned.
"""

import json
import os
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from skill_plugin import Revision, Rollout, Task
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.errors import SkillPluginError
from skill_plugin.skills.skill_md import SkillDocument, render
from skill_plugin.store import SkillStore
from skill_plugin.store.dumps.dump import dump, load

NAMES = [f"skill-{number}" for number in range(30)]
WORDS = ("add", "refund", "sort", "ship", "translate", "count")
CAPACITY = 12
EMBEDDERS = {embedder.signature: embedder for embedder in (HashingEmbedder(32), HashingEmbedder(48))}
DEFAULT = next(iter(EMBEDDERS))


def stored_signature(home):
    """The embedder of a store that may have been killed before it had any table."""
    path = Path(home, "skills.db")
    if not path.exists():
        return DEFAULT
    with closing(sqlite3.connect(path)) as connection:
        made = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'skillp_namespace'").fetchone()[0]
        row = connection.execute("SELECT signature FROM skillp_namespace").fetchone() if made else None
    return (row and row[0]) or DEFAULT


def open_store(home, *, chroma, signature=None):
    return SkillStore.open(
        home,
        embedder=EMBEDDERS[signature or stored_signature(home)],
        chroma=None if chroma else False,
        capacity=CAPACITY,
        check_embedder=False,
    )


class Driver:
    """Takes steps on the store in a folder; what it writes beside the store goes to `files`, under names of its own."""

    def __init__(self, home, seed, *, chroma=False):
        self.home = Path(home)
        self.seed = seed
        self.chroma = chroma
        self.files = self.home / "files"
        self.store = open_store(home, chroma=chroma)
        self.files.mkdir(exist_ok=True)

    def step(self, number):
        """What was done, and what came of it: nothing in it differs from one run to another."""
        self.rng = random.Random(f"{self.seed} {number}")
        self.number = number
        name = self.rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        try:
            return name, getattr(self, name)()
        except SkillPluginError as exc:
            return name, type(exc).__name__

    def close(self):
        self.store.close()

    def _text(self, name):
        words = " ".join(self.rng.choices(WORDS, k=self.rng.randint(2, 8)))
        return render(SkillDocument(name, f"How to {words}", f"Step {self.number}: {self.rng.random()}."))

    def _any(self, status=None):
        names = [skill.name for skill in self.store.list(status)]
        return self.rng.choice(names or ["none"])

    def _file(self, kind):
        return self.files / f"{kind}-{self.number}-{os.urandom(3).hex()}"

    def _task(self):
        return Task(f"{self.rng.choice(WORDS)} {self.rng.randrange(20)}", reference="4")

    def add(self):
        author = self.rng.choice(("human", "import", "import", "generator"))
        return self.store.add_text(self._text(self.rng.choice(NAMES)), author=author).name

    def revise(self):
        name = self._any()
        return self.store.revise_text(name, self._text(name)).version

    def promote(self):
        return self.store.promote(self._any()).version

    def rollback(self):
        return self.store.rollback(self._any()).version

    def retire(self):
        return self.store.retire(self._any(), reason="told to").status

    def quarantine(self):
        return self.store.quarantine(self._any()).status

    def restore(self):
        return self.store.restore(self._any()).status

    def pin(self):
        return self.store.pin(self._any()).pinned

    def unpin(self):
        return self.store.unpin(self._any()).pinned

    def record(self):
        skill = self.store.get(self._any(self.rng.choice((None, "live", "live"))))
        rollouts = []
        for generation in range(self.rng.choice((1, 40))):
            reward = self.rng.choice((None, 0.0, 1.0, round(self.rng.random(), 3)))
            control = self.rng.random() < 0.2
            rollouts.append(
                Rollout(
                    generation=generation,
                    answer="4",
                    skill=None if control else skill.ref,
                    withheld=skill.ref if control else None,
                    arm="control" if control else "skill",
                    reward=reward,
                    passed=None if reward is None else reward >= 1,
                    adherence=self.rng.choice((None, 0.5)),
                )
            )
        return self.store.runs.record(self._task(), rollouts, run_id=f"run-{self.number}", chosen=rollouts[-1])

    def outcome_run(self):
        """Always of one skill: its utility cannot be replayed from the rollouts alone."""
        used = Rollout(generation=0, answer="4", skill=self.store.get(NAMES[0]).ref)
        return self.store.runs.record(Task("add 1"), [used], run_id=f"outcome-{self.number // 20}")

    def outcome(self):
        return self.store.record_outcome(f"outcome-{self.number // 20}", round(self.rng.random(), 3))

    def stage(self):
        parent = self.store.get(self._any())
        texts = [self._text(self.rng.choice((parent.name, self.rng.choice(NAMES)))), None]
        revisions = [Revision(completion=text or "nothing", text=text) for text in texts]
        group = {"run_id": f"stage-{self.number}", "group_id": f"group-{self.number}", "generation": 1}
        staged = self.store.runs.stage(self._task(), revisions, parent=parent.ref, **group)
        return [made.skill and made.skill.version for made in staged]

    def prune(self):
        limits = {"capacity": self.rng.choice((None, 2)), "include_human": self.rng.random() < 0.5}
        return [decision.name for decision in self.store.prune(**limits) if decision.action == "retire"]

    def import_skills(self):
        folder = self._file("in")
        for name in self.rng.sample(NAMES, 3):
            (folder / name).mkdir(parents=True)
            (folder / name / "SKILL.md").write_text(self._text(name), encoding="utf-8")
        report = self.store.import_skills(folder)
        return report.added, report.staged, report.already_there

    def export_skills(self):
        names = [skill.name for skill in self.store.list()]
        return [skill.name for skill in self.store.export_skills(self._file("out").with_suffix(".zip"), names or None)]

    def dump(self):
        return sum(dump(self.store.database, self._file("dump").with_suffix(".jsonl.gz")).values())

    def load(self):
        """Takes in what another store dumped."""
        file = self._file("side")
        with open_store(file, chroma=False, signature=self.store._partition.vectors.signature) as other:
            for name in self.rng.sample(NAMES, 2):
                other.add_text(self._text(f"{name}-of-{self.number}"), author="import")
            dump(other.database, file / "dump.jsonl.gz")
        counts = load(self.store.database, file / "dump.jsonl.gz")
        return sorted(counts.items())

    def reembed(self):
        """Goes over to the other embedder."""
        other = next(name for name in EMBEDDERS if name != self.store._partition.vectors.signature)
        self.store.close()
        self.store = open_store(self.home, chroma=self.chroma, signature=other)
        self.store.reembed()
        return other

    def search(self):
        # Vectors of passed tasks come from a process's own last searches, so a new process may know fewer for a moment.
        return len(self.store.search(self.rng.choice(WORDS), k=3, experience=0))

    def wait(self):
        """For the index, so that a kill hits it at work; how long that takes changes nothing."""
        self.store.wait_for_index(1.0)


WEIGHTS = {
    "add": 10,
    "revise": 8,
    "promote": 8,
    "rollback": 2,
    "retire": 6,
    "quarantine": 2,
    "restore": 4,
    "pin": 1,
    "unpin": 2,
    "record": 10,
    "outcome_run": 2,
    "outcome": 2,
    "stage": 3,
    "prune": 3,
    "import_skills": 4,
    "export_skills": 1,
    "dump": 2,
    "load": 1,
    "reembed": 1,
    "search": 2,
    "wait": 1,
}


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main():
    home, seed, first, last, *more = sys.argv[1:]
    say("ready")
    driver = Driver(home, seed, chroma="--chroma" in more)
    for number in range(int(first), int(last)):
        say(json.dumps([number, *driver.step(number)]))
    driver.store.wait_for_index(60)
    driver.close()


if __name__ == "__main__":
    main()
