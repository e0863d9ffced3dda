"""How good a generator's first texts are, on families that it has not seen: form, heeding the feedback, reward. Not run itself."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage

from skill_plugin.demo.facts import Fact, FactWorld, judge
from skill_plugin.generators import LocalGenerator
from skill_plugin.prompts import guidance
from skill_plugin.records import Generation, Revision, Rollout, Task
from skill_plugin.skills.skill_md import parse


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Shares of each family's texts, by family in the order of the world.

    Args:
        valid: Texts that are skills.
        states: Texts whose body states the fact to the letter.
        names: Texts whose body has the value.
        reward: Mean reward of the texts on the two wordings for measuring, without search; one that is no skill earns 0.
    """

    valid: list[float]
    states: list[float]
    names: list[float]
    reward: list[float]

    def means(self) -> dict[str, float]:
        return {name: round(fmean(values), 4) for name, values in vars(self).items()}


def first_texts(generator: LocalGenerator, llm: BaseChatModel, world: FactWorld, *, texts: int = 4) -> Quality:
    """Lets a generator write the first skill of each family, from what the task LLM answered without one.

    Args:
        generator: The generator.
        llm: The frozen task LLM.
        world: Draws the families.
        texts: Texts of each, from one prompt.
    """
    facts = world.draw()
    firsts = [fact.tasks("train")[0] for fact in facts]
    answers = [reply.text for reply in llm.batch([[HumanMessage(task.input)] for task in firsts])]

    async def write() -> list[list[Revision]]:  # as `evolve` asks: what waits together runs as one batch
        asked = (
            generator.apropose(task, _first(task, answer), n=texts)
            for task, answer in zip(firsts, answers, strict=True)
        )
        return await asyncio.gather(*asked)

    written = [[one.text for one in some] for some in asyncio.run(write())]
    bodies = [[None if text is None else parse(text).body for text in of_fact] for of_fact in written]
    return Quality(
        valid=[_share(body is not None for body in row) for row in bodies],
        states=[
            _share(body is not None and fact.sentence in body for body in row)
            for fact, row in zip(facts, bodies, strict=True)
        ],
        names=[
            _share(body is not None and fact.value in body for body in row)
            for fact, row in zip(facts, bodies, strict=True)
        ],
        reward=_rewards(llm, facts, written),
    )


def _first(task: Task, answer: str) -> list[Generation]:
    verdict = judge(task, answer)
    rollout = Rollout(
        generation=0, answer=answer, reward=verdict.reward, passed=verdict.passed, feedback=verdict.feedback
    )
    return [Generation(number=0, text=None, rollouts=(rollout,))]


def _rewards(llm: BaseChatModel, facts: Sequence[Fact], written: Sequence[Sequence[str | None]]) -> list[float]:
    tried = [
        (at, task, text)
        for at, (fact, texts) in enumerate(zip(facts, written, strict=True))
        for text in texts
        if text is not None
        for task in fact.tests()
    ]
    asked = [[SystemMessage(_shown(text)), HumanMessage(task.input)] for _, task, text in tried]
    earned = [0.0] * len(facts)
    for (at, task, _), reply in zip(tried, llm.batch(asked) if asked else (), strict=True):
        earned[at] += judge(task, reply.text).reward
    return [sum_ / (len(texts) * len(fact.tests())) for sum_, texts, fact in zip(earned, written, facts, strict=True)]


def _shown(text: str) -> str:
    """Returns the block that a graph would put into the system prompt, under an id as a store draws it."""
    return guidance([(f"sk_{secrets.token_hex(6)}@1", parse(text).name, text)])


def _share(found: Any) -> float:
    values = list(found)
    return sum(values) / len(values)
