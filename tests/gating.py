"""The gate of checkpoints on small held-out sums."""

from fakes import FingersAdder
from skill_plugin.graphs import gate_generator
from skill_plugin.records import Task

SMALL = {"candidates": 2, "rollouts": 2, "concurrency": 4}


def adding(*numbers, split="heldout", verifier=True):
    named = {"name": "exact_match"} if verifier else None
    return [Task(f"add {n} and 2", reference=str(n + 2), family="adding", split=split, verifier=named) for n in numbers]


def gate(store, candidate, live, *, tasks=None, llm=None, **options):
    tasks = adding(1, 2, 3) if tasks is None else tasks
    return gate_generator(
        tasks, store=store, llm=llm or FingersAdder(), candidate=candidate, live=live, **{**SMALL, **options}
    )
