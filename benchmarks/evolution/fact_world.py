"""Families of one fact each as a bench: what SmolLM2-135M answers by a skill and never without one."""

from collections.abc import Sequence
from typing import Any

from bench import Bench

from skill_plugin.demo.facts import EASY, FactWorld
from skill_plugin.models import chat_models


def bench(seed: int, *, llm: Any, facts: int = 12, noise: float = 0.0, kinds: Sequence[str] = ()) -> Bench:
    """Returns a draw of facts as a bench.

    Args:
        seed: See `FactWorld`, for `facts`, `noise` and `kinds` too.
        llm: The frozen task LLM, a chat model.
    """
    world = FactWorld(seed=seed, facts=facts, noise=noise, kinds=tuple(kinds) or EASY)
    drawn = world.draw()
    return Bench(
        name="facts",
        model=chat_models.name_of(llm),
        tasks=[task for fact in drawn for task in fact.tasks()],
        tests=[task for fact in drawn for task in fact.tests()],
        llm=llm,
        verifier=world.judge,
        starting=[fact.hollow for fact in drawn],
        oracle=[fact.skill for fact in drawn],
        notes={"families": len(drawn), "noise": noise},
    )
