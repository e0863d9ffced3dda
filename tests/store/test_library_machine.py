"""The library against a dictionary: thousands of random steps, reopened in between, and the rules always hold."""

import tempfile
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from fakes import TopicEmbedder, skill_text
from skill_plugin import Rollout, Task
from skill_plugin.errors import CapacityError
from skill_plugin.store import SkillStore
from skill_plugin.store.skills.pruning import PROTECTED_USES

CAPACITY = 4
RATE = 0.05


class Known:
    """What the model believes of one skill."""

    def __init__(self, author):
        self.author = author
        self.versions = 1
        self.live = None if author == "generator" else 1
        self.status = "staged" if author == "generator" else "live"
        self.pinned = False
        self.utility, self.uses, self.wins = None, 0, 0

    @property
    def protected(self):
        return self.pinned or self.author == "human" or self.uses < PROTECTED_USES


class LibraryMachine(RuleBasedStateMachine):
    names = Bundle("names")

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.known = {}
        self.runs = 0
        self.store = None
        self.open()

    def open(self):
        self.store = SkillStore.open(Path(self.folder.name), embedder=TopicEmbedder(), chroma=False, capacity=CAPACITY)

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    def live(self):
        return {name for name, known in self.known.items() if known.status == "live"}

    def making_live(self, name, change):
        """A change that makes a skill live: it may retire others, unprotected ones only, or be refused as a whole."""
        before = self.live()
        others = before - {name}
        evictable = {other for other in others if not self.known[other].protected}
        try:
            change()
        except CapacityError:
            assert len(others) + 1 - len(evictable) > CAPACITY
            return False
        after = {skill.name for skill in self.store.list("live")}
        gone = before - after - {name}
        assert gone <= evictable
        assert len(gone) == max(0, len(others) + 1 - CAPACITY)
        for other in gone:
            self.known[other].status = "retired"
            assert self.store.history(other)[-1].by == "capacity"
        return True

    @rule(target=names, author=st.sampled_from(["human", "import", "import", "import", "generator"]))
    def add(self, author):
        name = f"skill-{len(self.known)}"
        self.known[name] = Known(author)
        text = skill_text(name=name, description=f"How to add {name}")
        if author == "generator":
            self.store.add_text(text, author=author)
            return name
        self.known[name].status = "new"
        if not self.making_live(name, lambda: self.store.add_text(text, author=author)):
            del self.known[name]
            return multiple()
        self.known[name].status = "live"
        return name

    @rule(name=names)
    def revise(self, name):
        self.known[name].versions += 1
        self.store.revise(name, body=f"Version {self.known[name].versions}.")

    @rule(name=names, data=st.data())
    def promote(self, name, data):
        number = data.draw(st.integers(1, self.known[name].versions))
        if self.making_live(name, lambda: self.store.promote(name, number)):
            self.known[name].status, self.known[name].live = "live", number

    @rule(name=names, how=st.sampled_from(["retire", "quarantine"]))
    def out(self, name, how):
        getattr(self.store, how)(name)
        self.known[name].status = {"retire": "retired", "quarantine": "quarantined"}[how]

    @rule(name=names)
    def restore(self, name):
        known = self.known[name]
        if known.status not in ("retired", "quarantined"):
            self.store.restore(name)
        elif known.live is None:
            self.store.restore(name)
            known.status = "staged"
        elif self.making_live(name, lambda: self.store.restore(name)):
            known.status = "live"

    @rule(name=names, pinned=st.booleans())
    def pin(self, name, pinned):
        (self.store.pin if pinned else self.store.unpin)(name)
        self.known[name].pinned = pinned

    @rule(name=names, rewards=st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=30), again=st.booleans())
    def use(self, name, rewards, again):
        """Only the live version of a skill moves its utility; a run that is recorded twice counts once."""
        known = self.known[name]
        skill = self.store.get(name)
        self.runs += 1
        run, task = f"run-{self.runs}", Task(f"task {self.runs}")
        rollouts = [
            Rollout(generation=0, k=k, answer="", skill=skill.ref, reward=reward, passed=reward == 1)
            for k, reward in enumerate(rewards)
        ]
        assert self.store.runs.record(task, rollouts, run_id=run) == len(rewards)
        if again:
            assert self.store.runs.record(task, rollouts, run_id=run) == 0
        if known.live is None:
            return
        for reward in rewards:
            known.uses += 1
            rate = max(1 / known.uses, RATE)
            known.utility = reward if known.utility is None else known.utility + rate * (reward - known.utility)
            known.wins += reward == 1
        seen = self.store.get(name)
        if seen.live_version != known.live:  # its parent was better
            assert self.store.history(name)[-1].by == "evidence"
            known.live, known.utility, known.uses, known.wins = seen.live_version, seen.utility, seen.uses, seen.wins

    @rule(capacity=st.integers(0, CAPACITY))
    def prune(self, capacity):
        planned = {
            decision.name
            for decision in self.store.prune(dry_run=True, capacity=capacity)
            if decision.action == "retire"
        }
        assert {skill.name for skill in self.store.list("live")} == self.live()
        done = {decision.name for decision in self.store.prune(capacity=capacity) if decision.action == "retire"}
        assert done == planned
        assert all(self.known[name].status == "live" and not self.known[name].protected for name in done)
        for name in done:
            self.known[name].status = "retired"

    @rule()
    def reopen(self):
        self.store.close()
        self.open()

    @invariant()
    def the_rules_hold(self):
        if not hasattr(self, "store"):
            return
        skills = {skill.name: skill for skill in self.store.list()}
        assert skills.keys() == self.known.keys()
        assert len(self.store.list("live")) <= CAPACITY
        for name, known in self.known.items():
            skill = skills[name]
            assert (skill.live_version, skill.pinned, skill.uses, skill.wins) == (
                known.live,
                known.pinned,
                known.uses,
                known.wins,
            )
            assert skill.status == ("staged" if known.live is None and known.status == "live" else known.status)
            assert (skill.utility is None) == (known.utility is None)
            assert abs((skill.utility or 0) - (known.utility or 0)) < 1e-9
        found = {hit.name for hit in self.store.search("add", k=20, min_score=-1, strategy="lexical")}
        assert found <= self.live()


# Ids are random, so a failure cannot be made smaller step by step; its seed is printed.
LibraryMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=60, deadline=None, phases=[Phase.generate], print_blob=True
)
TestLibrary = LibraryMachine.TestCase
