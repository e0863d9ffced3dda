"""An agent of LangChain's create_agent: one middleware gives it skills and records how each run went."""

import tempfile

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from skill_plugin import Task
from skill_plugin.integrations.middleware import SkillMiddleware
from skill_plugin.store import SkillStore


class SimulatedModel(BaseChatModel):
    """Stands for a chat model: it converts units as far as its prompt tells it how."""

    @property
    def _llm_type(self) -> str:
        return "simulated"

    def _generate(self, messages, stop=None, run_manager=None, **_) -> ChatResult:
        miles = float(messages[-1].text.split()[1])
        factor = 1.609344 if "1.609344" in messages[0].text else 1.5
        return ChatResult(generations=[ChatGeneration(message=AIMessage(f"{miles * factor:.2f} km"))])


def right(task: Task, answer: str) -> bool:
    """The verifier: any function (task, answer) that returns a float, a bool or a Verdict."""
    return answer == f"{float(task.input.split()[1]) * 1.609344:.2f} km"


with tempfile.TemporaryDirectory() as folder, SkillStore.open(folder, embedder="hashing") as store:
    agent = create_agent(SimulatedModel(), [], middleware=[SkillMiddleware(store, verifier=right)])
    question = {"messages": [("user", "convert 26 miles to kilometres")]}

    print("without a skill:", agent.invoke(question)["messages"][-1].text)
    store.add(
        name="miles",
        description="How to convert miles to kilometres",
        body="Multiply by 1.609344 and round to two places.",
    )
    print("with one:", agent.invoke(question)["messages"][-1].text)

    skill = store.get("miles")
    print(f"utility of {skill.name}: {skill.utility} after {skill.uses} use")
