"""A process of benchmarks/soak.py: works on the store until a file says stop, and keeps a ledger of what was acknowledged.

    python benchmarks/soak_worker.py ROLE PLAN

ROLE is `agent` (the skill graph of the demonstration, and writes of its own), `remote` (the graph on a model behind HTTP), `evolver`
or `reader` (dataset and checkpoints); PLAN is JSON, see `Plan`. An acknowledged write is a line of the ledger that is on the disk
before the next step; what was only seen (searches, refusals) is a line too, but is not forced there.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))
from adapters import BASE_MODEL, adapter  # noqa: E402 - from where the tests are
from skill_plugin import Rollout, Task, generators  # noqa: E402
from skill_plugin.demo.questions import FAMILIES, stream  # noqa: E402
from skill_plugin.demo.simulated import SimulatedAnalyst, SimulatedEditor  # noqa: E402
from skill_plugin.demo.world import SYSTEM_PROMPT  # noqa: E402
from skill_plugin.errors import SkillPluginError  # noqa: E402
from skill_plugin.graphs import EvolveSettings, create_skill_graph, evolve  # noqa: E402
from skill_plugin.models import chat_models  # noqa: E402
from skill_plugin.records import Skill, sha256  # noqa: E402
from skill_plugin.store import SkillStore, tables  # noqa: E402

JUDGED = "polishing"
"""The skill whose runs get their reward later."""

PAUSE_S = 0.05


@dataclass(frozen=True)
class Plan:
    """What a process is told. `clock` names a file with the seconds that its clock is wrong by; None is a right clock."""

    name: str
    location: str
    chroma: str | None
    namespace: str
    ledger: str
    control: str
    business: str
    model_url: str
    seed: int
    clock: str | None = None


class Ledger:
    """Lines of JSON: what this process was told."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._file.write("\n")  # a kill may have cut a line

    def note(self, kind: str, **facts: Any) -> None:
        self._file.write(f"{json.dumps({'kind': kind, 'at': time.monotonic(), **facts})}\n")
        self._file.flush()

    def acknowledged(self, kind: str, **facts: Any) -> None:
        self.note(kind, **facts)
        os.fsync(self._file.fileno())


class Role:
    """A process's work, step by step."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.control = Path(plan.control)
        self.ledger = Ledger(Path(plan.ledger))
        self.rng = random.Random(f"{plan.seed} {time.time_ns()}")  # noqa: S311 - each start takes another way
        self.tasks = stream(Path(plan.business))
        self.open = [task for task in self.tasks if task.split == "train"]
        self.count = 0
        self.seen: set[str] = set()
        self.start = f"{plan.name}-{time.time_ns() // 1000:x}"
        self.reopen()

    def reopen(self) -> None:
        """Opens the store, and makes what stands on it."""
        self.store = self._opened()

    def _opened(self) -> SkillStore:
        location = self.plan.location if "://" in self.plan.location else Path(self.plan.location)
        while True:
            try:
                chroma: Any = False if self.plan.chroma == "" else self.plan.chroma
                return SkillStore.open(location, namespace=self.plan.namespace, embedder="hashing", chroma=chroma)
            except SkillPluginError as exc:
                self.refused("open", exc)
                time.sleep(0.5)

    def run(self) -> None:
        while not (self.control / "stop").exists():
            self.count += 1
            step = self.choose()
            try:
                step()
            except SkillPluginError as exc:
                self.refused(step.__name__, exc)
                if "open the store again" in str(exc) or self.store.database.read_only is not None:
                    self.store.close()
                    self.reopen()
            time.sleep(PAUSE_S)
        self.store.close()

    def choose(self) -> Callable[[], None]:
        raise NotImplementedError

    def refused(self, step: str, exc: Exception) -> None:
        self.ledger.note(
            "refused", step=step, error=type(exc).__name__, line=str(exc)[:300], lines=str(exc).count("\n")
        )
        time.sleep(PAUSE_S)

    def saw(self, *ids: str) -> None:
        """Notes skills that this process was shown, each once: they must be its namespace's."""
        if new := set(ids) - self.seen:
            self.seen |= new
            self.ledger.note("saw", ids=sorted(new))

    def unique(self) -> str:
        return f"{self.start}-{self.count}"


class Agent(Role):
    """Asks the graph, and writes on its own account: adds, revises, records, judges later."""

    STEPS: ClassVar = {"ask": 4, "search": 8, "record": 6, "later": 4, "add": 1, "revise": 2}

    def reopen(self) -> None:
        super().reopen()
        self.raises = self.plan.seed % 2 == 0
        self.graph = create_skill_graph(
            store=self.store,
            llm=SimulatedAnalyst(),
            generator=generators.chat(SimulatedEditor()),
            max_generations=1,
            system_prompt=SYSTEM_PROMPT,
            on_store_error="raise" if self.raises else "skip",
        ).compile()

    def run(self) -> None:
        for name, text in ((JUDGED, "Polish brass doorknobs until they shine."), ("starter", "Count rows once.")):
            while not any(skill.name == name for skill in self.ready()):  # a fault may be under way
                with suppress(SkillPluginError):  # another process has
                    self.store.add(name=name, description=f"How to do {name} of door furniture", body=text)
        super().run()

    def ready(self) -> Sequence[Skill]:
        with suppress(SkillPluginError):
            return self.store.list()
        return ()

    def choose(self) -> Callable[[], None]:
        step: Callable[[], None] = getattr(self, self.rng.choices(list(self.STEPS), list(self.STEPS.values()))[0])
        return step

    def ask(self) -> None:
        task = self.rng.choice(self.open)
        output = self.graph.invoke({"task": task.input, "reference": task.reference, "verifier": task.verifier})
        if not output["answer"]:
            self.ledger.note("wrong", what="a run without an answer")
        if output["skill"]:
            self.saw(output["skill"].partition("@")[0])
        if self.raises:
            self.ledger.acknowledged("run", run_id=output["run_id"])

    def search(self) -> None:
        query = self.rng.choice(self.tasks).input
        began = time.monotonic()
        hits = self.store.search(query, k=3, min_score=0)
        self.ledger.note("search", began=began, ms=(time.monotonic() - began) * 1000)
        self.saw(*(hit.skill_id for hit in hits))

    def record(self) -> None:
        skill, reward = self._any(), round(self.rng.random(), 3)
        used = Rollout(generation=0, answer="4", skill=skill.ref, reward=reward, passed=reward > 0.5)
        run_id = f"rec-{self.unique()}"
        self.store.runs.record(Task(f"Add {self.count} and {self.rng.randrange(1000)}"), [used], run_id=run_id)
        self.ledger.acknowledged("run", run_id=run_id, reward=reward)

    def later(self) -> None:
        skill, run_id = self.store.get(JUDGED), f"later-{self.unique()}"
        used = Rollout(generation=0, answer="4", skill=skill.ref)
        self.store.runs.record(Task(f"Polish {self.unique()}", split="train"), [used], run_id=run_id)
        self.ledger.acknowledged("run", run_id=run_id)
        reward = round(self.rng.random(), 3)
        self.store.record_outcome(run_id, reward, "soak", source="soak")
        self.ledger.acknowledged("outcome", run_id=run_id, reward=reward)

    def add(self) -> None:
        name = f"{self.plan.namespace}-{self.unique()}"
        skill = self.store.add(
            name=name, description=f"How to count widgets of kind {self.unique()}", body="Count them."
        )
        self.ledger.acknowledged("version", name=name, number=1, sha=sha256(skill.text))

    def revise(self) -> None:
        skill = self._any()
        if skill.name == JUDGED or not skill.name.startswith(f"{self.plan.namespace}-"):
            return
        skill = self.store.revise(skill.name, body=f"Count them twice, as said in {self.unique()}.")
        self.ledger.acknowledged("version", name=skill.name, number=skill.version, sha=sha256(skill.text))
        if self.rng.random() < 0.5:
            self.store.promote(skill.name, skill.version)

    def _any(self) -> Skill:
        """Returns a live skill but the one whose runs are judged later: its utility is replayed from outcomes alone."""
        page = self.store.query(status="live", limit=50)
        self.saw(*(skill.id for skill in page))
        return self.rng.choice([skill for skill in page if skill.name != JUDGED] or list(page))


class Remote(Role):
    """The graph on a model behind HTTP that fails, with a verifier that raises where a file says so."""

    def reopen(self) -> None:
        super().reopen()
        llm = chat_models.load("stub", base_url=self.plan.model_url, timeout=2, max_retries=1)
        self.graph = create_skill_graph(
            store=self.store, llm=llm, verifier=self._verify, on_store_error="raise"
        ).compile()

    def choose(self) -> Callable[[], None]:
        return self.ask

    def _verify(self, _task: Task, answer: str) -> float:
        if (self.control / "verifier").exists():
            raise ZeroDivisionError("the verifier is broken")
        return float("4" in answer)

    def ask(self) -> None:
        import openai  # noqa: PLC0415 - comes with the extra

        broken = (self.control / "verifier").exists()
        try:
            output = self.graph.invoke({"task": f"Add {self.count} and 2"})
        except openai.OpenAIError as exc:
            self.ledger.note("model", error=type(exc).__name__)
            return
        self.ledger.acknowledged("run", run_id=output["run_id"])
        if broken and (self.control / "verifier").exists() and output["reward"] is not None:
            self.ledger.note("wrong", what=f"a verifier that raised gave {output['reward']}")


class Evolver(Role):
    """Runs `evolve` on a few tasks of a family, again and again."""

    def choose(self) -> Callable[[], None]:
        return self.evolve

    def evolve(self) -> None:
        family = self.rng.choice(FAMILIES)
        own = [task for task in self.tasks if task.family == family]
        train = [task for task in own if task.split == "train"]
        heldout = [task for task in own if task.split == "heldout"]
        report = evolve(
            [*self.rng.sample(train, 2), *heldout[:2]],
            store=self.store,
            llm=SimulatedAnalyst(),
            generator=generators.chat(SimulatedEditor()),
            system_prompt=SYSTEM_PROMPT,
            settings=EvolveSettings(generations=1, candidates=2, rollouts=1, siblings=1, gate_tasks=2, concurrency=2),
        )
        if report.outcome == "finished":
            self.ledger.acknowledged("evolve", run_id=report.run_id)
        else:
            self.ledger.note("refused", step="evolve", error="outcome", line=str(report.outcome)[:300], lines=0)
        for task, error in list(dict(report.failed).items())[:3]:
            self.ledger.note("refused", step="lineage", error=str(error)[:300], line=str(task)[:80], lines=0)


class Reader(Role):
    """What a night does but for the training: reads the dataset, registers and promotes checkpoints."""

    def choose(self) -> Callable[[], None]:
        return self.rng.choice([self.read, self.register])

    def read(self) -> None:
        rows = sum(1 for _ in self.store.histories.rows())
        self.store.histories.stats()
        self.store.runs.waiting()
        self.ledger.note("read", rows=rows)
        time.sleep(1)

    def register(self) -> None:
        folder = Path(self.plan.control) / "adapters" / self.unique()
        made = self.store.checkpoints.register(adapter(folder, seed=self.count), base_model=BASE_MODEL)
        self.ledger.acknowledged("checkpoint", id=made.id)
        time.sleep(1)


def set_clock(file: Path) -> None:
    """Makes the time that rows get wrong by as many seconds as a file says."""

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            seconds = float(file.read_text() or 0) if file.exists() else 0.0
            return datetime.now(tz) + timedelta(seconds=seconds)

    tables.datetime = Jumping  # type: ignore[misc, attr-defined]


ROLES: dict[str, type[Role]] = {"agent": Agent, "remote": Remote, "evolver": Evolver, "reader": Reader}


def main() -> None:
    plan = Plan(**json.loads(sys.argv[2]))
    if plan.clock is not None:
        set_clock(Path(plan.clock))
    ROLES[sys.argv[1]](plan).run()


if __name__ == "__main__":
    main()
