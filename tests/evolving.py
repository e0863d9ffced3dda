"""Small evolve jobs on sums, with a scripted generator."""

from fakes import MACHINE, FingersAdder, skill_text
from skill_plugin.graphs import EvolveSettings, evolve
from skill_plugin.records import Revision, Task

ABACUS = skill_text(body="Use an abacus.")
SMALL = EvolveSettings(generations=2, candidates=2, rollouts=2, concurrency=4, adaptive=False, minibatch=1)


def adding(*numbers, split="train", family="adding"):
    return [
        Task(f"add {n} and 2", reference=str(n + 2), family=family, split=split, verifier={"name": "exact_match"})
        for n in numbers
    ]


class Writer:
    """Writes what it is told to, in turn; keeps what it saw."""

    def __init__(self, *texts):
        self.texts = texts
        self.seen = []

    def propose(self, task, history, *, n):
        self.seen.append((task, list(history)))
        turn = len(history) - 1 if len(self.texts) > n else 0
        texts = [self.texts[(turn + i) % len(self.texts)] for i in range(n)]
        return [Revision(completion=text, prompt=({"role": "user", "content": task.input},)) for text in texts]


def run(store, tasks, *, writer=None, llm=None, settings=SMALL, **options):
    writer = writer or Writer(ABACUS, MACHINE)
    return evolve(tasks, store=store, llm=llm or FingersAdder(), generator=writer, settings=settings, **options)
