"""Skills for deepagents: the real library with a simulated model."""

import json
from importlib.metadata import version

import pytest
from deepagents import SubAgent, create_deep_agent
from deepagents.backends import FilesystemBackend
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from fakes import AgentChat, skill_text, system_text
from skill_plugin.graphs import SkillKeys, retrieve_node, skill_guidance
from skill_plugin.integrations.middleware import SkillMiddleware

ADD = {"messages": [("user", "add 2 and 2")]}
THREAD = {"configurable": {"thread_id": "1"}}
DELEGATED = [[("task", {"description": "ship a parcel", "subagent_type": "courier"})], "4"]


def deep_agent(store, model, *, middleware=None, **options):
    return create_deep_agent(
        model=model,
        system_prompt="Base.",
        middleware=[SkillMiddleware(store)] if middleware is None else middleware,
        checkpointer=InMemorySaver(),
        **options,
    )


def result_of(agent):
    return agent.get_state(THREAD).values["skillp_result"]


@pytest.fixture
def shipping(store):
    return store.add_text(skill_text("shipping", "How to ship parcels", "Weigh it."))


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_a_deep_agent_gets_skills_by_the_same_argument(store, skill, how):
    model = AgentChat([[("write_todos", {"todos": [{"content": "add", "status": "in_progress"}]})], "4"])
    agent = deep_agent(store, model)
    output = agent.invoke(ADD, THREAD) if how == "invoke" else await agent.ainvoke(ADD, THREAD)
    [rollout] = store.runs.rollouts(result_of(agent)["run_id"])

    assert system_text(model.seen[0]).startswith("Base.")
    assert all("Use your fingers." in system_text(seen) for seen in model.seen)
    assert (rollout.answer, rollout.skill, rollout.input_tokens) == ("4", skill.ref, 20)
    assert not [key for key in output if key.startswith("skillp_")]
    assert output["messages"][0].text == "add 2 and 2"


async def test_a_subagent_sees_nothing_of_the_run_and_changes_nothing_of_it(store, skill, shipping):
    courier = AgentChat(["sent"])
    agent = deep_agent(
        store,
        AgentChat(DELEGATED),
        subagents=[
            {"name": "courier", "description": "ships", "system_prompt": "Courier.", "model": courier, "tools": []}
        ],
    )
    await agent.ainvoke(ADD, THREAD)
    [rollout] = store.runs.rollouts(result_of(agent)["run_id"])

    assert "Use your fingers." not in system_text(courier.seen[0])
    assert (rollout.answer, rollout.skill, rollout.input_tokens) == ("4", skill.ref, 20)


def test_a_subagent_with_the_middleware_has_a_run_of_its_own(store, skill, shipping):
    courier, shared = AgentChat(["sent"]), SkillMiddleware(store)
    spec = {"name": "courier", "description": "ships", "system_prompt": "Courier.", "model": courier, "tools": []}
    main = AgentChat(DELEGATED)
    agent = deep_agent(store, main, middleware=[shared], subagents=[{**spec, "middleware": [shared]}])
    events = [
        event
        for _, event in agent.stream(ADD, THREAD, stream_mode="custom", subgraphs=True)
        if event["type"] in ("skill_plugin.retrieved", "skill_plugin.recorded")
    ]
    recorded = [event for event in events if event["type"] == "skill_plugin.recorded"]

    assert "Weigh it." in system_text(courier.seen[0])
    assert "Use your fingers." not in system_text(courier.seen[0])
    assert "Use your fingers." in system_text(main.seen[1])
    assert [(event["skill"], event["answer"]) for event in recorded] == [(shipping.ref, "sent"), (skill.ref, "4")]
    assert result_of(agent)["run_id"] == recorded[1]["run_id"]


@pytest.mark.skipif(
    tuple(map(int, version("deepagents").split(".")[:3])) < (0, 6, 12),
    reason="before 0.6.12 deepagents hands private keys to compiled subagents that name them",
)
def test_a_compiled_subagent_that_names_our_keys_does_not_get_them_either(store, skill, shipping):
    class State(MessagesState, SkillKeys):
        pass

    saw = []

    def courier(state: State):
        saw.append(skill_guidance(state))
        return {"messages": [AIMessage("sent")]}

    builder = StateGraph(State)
    builder.add_sequence([("before", courier), ("retrieve", retrieve_node(store)), ("after", courier)])
    builder.add_edge(START, "before")
    compiled = {"name": "courier", "description": "ships", "runnable": builder.compile()}
    agent = deep_agent(store, AgentChat(DELEGATED), subagents=[compiled])
    agent.invoke(ADD, THREAD)

    assert saw[0] == ""
    assert "Weigh it." in saw[1]
    assert result_of(agent)["skill"] == skill.ref


def test_it_works_beside_the_skills_of_deepagents(store, skill, tmp_path):
    folder = tmp_path / "skills" / "greeting"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(skill_text("greeting", "How to greet", "Say hello."))
    model = AgentChat(["4"])
    backend = FilesystemBackend(root_dir=str(tmp_path), virtual_mode=True)
    agent = deep_agent(store, model, backend=backend, skills=["/skills/"])
    agent.invoke(ADD, THREAD)
    values = agent.get_state(THREAD).values

    assert "greeting" in system_text(model.seen[0])
    assert "Use your fingers." in system_text(model.seen[0])
    assert [each["name"] for each in values["skills_metadata"]] == ["greeting"]
    assert result_of(agent)["skill"] == skill.ref
    assert json.dumps(values["skillp_skills"])


def test_load_skill_works_in_a_deep_agent(store, skill):
    model = AgentChat([[("load_skill", {"name": "adding"})], "4"])
    agent = deep_agent(store, model, middleware=[SkillMiddleware(store, load_skill=True)])
    output = agent.invoke(ADD, THREAD)

    assert "load_skill" in model.bound
    assert "Use your fingers." not in system_text(model.seen[0])
    assert any("Use your fingers." in message.text for message in output["messages"] if message.type == "tool")
    assert store.runs.rollouts(result_of(agent)["run_id"])[0].adherence is None


@pytest.mark.skipif("mode" not in SubAgent.__annotations__, reason="this deepagents has no forks")
@pytest.mark.filterwarnings("ignore:The feature `forked subagents` is in beta")
def test_a_fork_inherits_the_middleware_and_has_a_run_of_its_own(store, skill, shipping):
    replies = iter([DELEGATED[0], "sent", "4"])
    main = AgentChat(lambda messages: next(replies))
    agent = deep_agent(store, main, subagents=[{"name": "courier", "description": "ships", "mode": "fork"}])
    events = [event for _, event in agent.stream(ADD, THREAD, stream_mode="custom", subgraphs=True)]
    recorded = [event for event in events if event["type"] == "skill_plugin.recorded"]

    assert ["Weigh it." in system_text(seen) for seen in main.seen] == [False, True, False]
    assert [(event["skill"], event["answer"]) for event in recorded] == [(shipping.ref, "sent"), (skill.ref, "4")]
