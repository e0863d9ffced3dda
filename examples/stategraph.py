"""An agent in a StateGraph that exists: four lines give it skills, a fifth says later how it went."""

import tempfile

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from skill_plugin.graphs import add_skills
from skill_plugin.store import SkillStore


def simulated_model(messages: list) -> AIMessage:
    """Stands for a chat model: it knows the answer only if its prompt says how."""
    told = "two business days" in str(messages)
    return AIMessage("You have it back in two business days." if told else "I do not know.")


def agent(state: MessagesState) -> dict:
    return {"messages": [simulated_model(state["messages"])]}


builder = StateGraph(MessagesState)
builder.add_node("agent", agent)
builder.add_edge(START, "agent")
builder.add_edge("agent", END)

with tempfile.TemporaryDirectory() as folder, SkillStore.open(folder, embedder="hashing") as store:
    store.add(
        name="refunds",
        description="When and how a customer gets a refund",
        body="A refund is paid within two business days. Say so.",
    )
    graph = add_skills(builder, store=store, before="agent").compile()

    question = {"messages": [("user", "When do I get my refund?")]}
    run_id = ""
    for mode, chunk in graph.stream(question, stream_mode=["custom", "values"]):
        if mode == "custom" and chunk["type"] == "skill_plugin.retrieved":
            run_id = chunk["run_id"]
            print("skill shown:", store.get(chunk["skills"][0]).name)
        elif mode == "values":
            answer = chunk["messages"][-1].text
    print("answer:", answer)

    store.record_outcome(run_id, reward=1.0, feedback="the customer said thanks")
    skill = store.get("refunds")
    print(f"utility of {skill.name}: {skill.utility} after {skill.uses} use")
