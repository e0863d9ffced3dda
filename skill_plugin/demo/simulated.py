"""Simulated language models: real LangChain chat models that follow rules instead of weights.

`SimulatedAnalyst` is the task LLM. It understands the demonstration's questions and writes SQL that is right as far as
the skill in its prompt tells it the house conventions; the conventions that the skill does not state it guesses.

`SimulatedEditor` is the model behind the generator. It reads the prompt that any generator gets, sees which rule the
failed SQL lacked, and writes a SKILL.md with that one rule added, from a handbook. It stands in for a model that would
work the rule out from the verifier's feedback.
"""

import re
from abc import abstractmethod
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from skill_plugin.demo.conventions import HANDBOOK, missing, understand
from skill_plugin.demo.questions import understand_question
from skill_plugin.skills.skill_md import SkillDocument, parse, render

DESCRIPTIONS = {
    "revenue": "Average order value in dollars of the customers of a tier, and total revenue in dollars of a region in a year.",
    "order-status": "How many orders of customers in a region, or of a year, are placed, shipped, delivered or cancelled.",
    "fiscal-calendar": "How many orders came in, and how much was turned over, in a fiscal month of a fiscal year.",
    "customer-tiers": "Gold, silver and bronze customers of a region: how many there are, and their names.",
    "stock-units": "Units of products in stock at the sites Leeds, Turin and Porto, such as cables, lamps, tools and fittings.",
    "support-tickets": "How many support tickets of a priority or a region are open, waiting or closed.",
}


class _Simulated(BaseChatModel):
    model_name: str

    @property
    def _llm_type(self) -> str:
        return "simulated"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - the signature is LangChain's
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **_: Any,
    ) -> ChatResult:
        reply = self._reply([str(message.text) for message in messages])
        counted = sum(len(str(message.text).split()) for message in messages), len(reply.split())
        usage = {"input_tokens": counted[0], "output_tokens": counted[1], "total_tokens": sum(counted)}
        message = AIMessage(reply, usage_metadata=usage, response_metadata={"model_name": self.model_name})
        return ChatResult(generations=[ChatGeneration(message=message)])

    @abstractmethod
    def _reply(self, texts: list[str]) -> str:
        """Returns the reply to the messages' texts."""


class SimulatedAnalyst(_Simulated):
    """Writes SQL for the demonstration's questions, as far as its prompt tells it the conventions."""

    model_name: str = "simulated-analyst"

    def _reply(self, texts: list[str]) -> str:
        understood = understand_question(texts[-1])
        if understood is None:
            return "I am a simulated model and only understand the questions of the demonstration."
        template, slots = understood
        return f"```sql\n{template.sql(slots, understand(texts[0] if len(texts) > 1 else ''))}\n```"


class SimulatedEditor(_Simulated):
    """Writes the next SKILL.md for the demonstration's questions: the current one and one rule more."""

    model_name: str = "simulated-editor"

    def _reply(self, texts: list[str]) -> str:
        task, shown = _part("Task", texts[-1]), _part("Current skill", texts[-1])
        understood = understand_question(task) if task else None
        if understood is None:
            return "I am a simulated model and only understand the questions of the demonstration."
        template, _ = understood
        current = parse(shown) if shown else None
        if current is None or current.name != template.family:
            current = SkillDocument(template.family, DESCRIPTIONS[template.family], "")
        rules = missing(current.body, template.needs)
        body = "\n".join([*current.body.splitlines(), *(HANDBOOK[rule] for rule in rules[:1])])
        return render(SkillDocument(current.name, current.description, body, current.extra))


def _part(title: str, prompt: str) -> str | None:
    """Returns the fenced text under a heading of the generator's prompt."""
    found = re.search(rf"^# {title}\n\n(`+)\n(.+?)\n\1$", prompt, re.DOTALL | re.MULTILINE)
    return found[2] if found else None
