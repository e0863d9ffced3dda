"""The retriever and the tools over the library of skills."""

import json

import pytest
from langchain_core.messages import ToolMessage

from fakes import MACHINE, AgentChat, called, skill_text
from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations.langchain import SkillRetriever, skill_tools
from skill_plugin.prompts import guidance


@pytest.fixture
def library(store, skill):
    return store


def tools_of(store, **options):
    return {tool.name: tool for tool in skill_tools(store, **options)}


def test_a_document_holds_what_the_hit_holds(library):
    (hit,) = library.search("add", 1)
    (document,) = SkillRetriever(store=library, k=1).invoke("add")

    assert (document.id, document.page_content) == (hit.ref, guidance([(hit.ref, hit.name, hit.text)]))
    assert document.metadata == {
        "text": hit.text,
        "name": hit.name,
        "description": hit.description,
        "skill_id": hit.skill_id,
        "version": 1,
        "score": hit.score,
        "utility": None,
        "why": dict(hit.why),
    }
    json.dumps(document.metadata)


async def test_the_call_goes_before_the_retriever_and_the_floor_is_kept(store):
    store.add_text(skill_text())
    store.add_text(skill_text("refunds", "How to refund"))
    retriever = SkillRetriever(store=store, min_score=0.9)

    assert [document.metadata["name"] for document in await retriever.ainvoke("refund", k=5)] == ["refunds"]
    assert len(SkillRetriever(store=store, min_score=0).invoke("refund", k=2)) == 2
    assert len(await SkillRetriever(store=store, min_score=0, k=2).ainvoke("refund", k=1)) == 1
    with pytest.raises(ConfigurationError, match="k is 99"):
        retriever.invoke("refund", k=99)


def test_the_tools_are_what_was_asked_for_and_each_argument_is_explained(store):
    tools = tools_of(store, allow_write=True)

    assert list(tools_of(store)) == ["search_skills", "get_skill", "report_outcome"]
    assert list(tools) == ["search_skills", "get_skill", "report_outcome", "propose_skill"]
    for tool in tools.values():
        assert tool.description
        assert all(argument["description"] for argument in tool.args.values())


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("get_skill", {"name": "nothing"}, "no skill 'nothing'"),
        ("search_skills", {"query": ""}, "the query is empty"),
        ("search_skills", {"query": "add", "k": 99}, "k is 99; give a whole number from 1 to 20"),
        ("search_skills", {"query": "add", "k": "many"}, "the arguments do not fit: k: "),
        ("search_skills", {}, "the arguments do not fit: query: Field required"),
        ("report_outcome", {"run_id": "none", "reward": 1}, "no run 'none'"),
        ("report_outcome", {"run_id": "none", "reward": 7}, "the reward is 7.0; give a number from 0 to 1"),
        ("propose_skill", {"text": "nonsense"}, "no front matter"),
    ],
)
async def test_an_error_is_one_line_for_the_model(library, name, arguments, says):
    tool = tools_of(library, allow_write=True)[name]
    call = {"type": "tool_call", "name": name, "args": arguments, "id": "1"}
    for message in (tool.invoke(call), await tool.ainvoke(call)):
        assert isinstance(message, ToolMessage)
        assert message.status == "error"
        assert says in message.content
        assert "\n" not in message.content


async def test_an_agent_searches_reads_and_proposes(library):
    agents = pytest.importorskip("langchain.agents")
    turns = [
        called("search_skills", query="add", k=1),
        called("get_skill", name="adding"),
        called("propose_skill", text=MACHINE),
        called("get_skill", name="nothing"),
        "done",
    ]
    agent = agents.create_agent(AgentChat(turns), skill_tools(library, allow_write=True))
    output = await agent.ainvoke({"messages": [("user", "add 2 and 2")]})
    search, read, proposed, missing = [message for message in output["messages"] if message.type == "tool"]

    assert len(json.loads(search.content)["skills"]) == 1
    skill = library.get("adding")
    assert json.loads(read.content)["text"] == guidance([(skill.ref, skill.name, skill.text)])
    assert json.loads(proposed.content)["status"] == "staged"
    assert (missing.status, output["messages"][-1].text) == ("error", "done")
