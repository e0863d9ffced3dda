"""deepagents on one persistent database: its own skills middleware and file tools read the library through StoreBackend."""

import pytest
from deepagents import FilesystemPermission, create_deep_agent
from deepagents.backends import CompositeBackend, StateBackend, StoreBackend

from fakes import AgentChat, called, skill_text, system_text
from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations.langgraph_store import SkillBaseStore

PATH = "/skills/adding/SKILL.md"


def deep_agent(store, *turns, **options):
    """Its files are in the state, but for skills and notes, which are in the store."""
    routes = {f"/{label}/": StoreBackend(namespace=lambda _, label=label: (label,)) for label in ("skills", "notes")}
    model = AgentChat([*turns, "done"])
    backend = CompositeBackend(default=StateBackend(), routes=routes)
    return model, create_deep_agent(model, backend=backend, skills=["/skills/"], store=store, **options)


def results(output):
    return [message for message in output["messages"] if message.type == "tool"]


ASKED = {"messages": [("user", "add 2 and 2")]}


async def test_an_agent_is_told_of_the_live_skills_and_reads_them(store, skill):
    store.add_text(skill_text("proposed", "How to propose"), author="generator")
    turns = [called("ls", path="/skills/adding/"), called("read_file", file_path=PATH)]
    turns += [called("grep", pattern="fingers", path="/skills/")]
    model, agent = deep_agent(SkillBaseStore(store), *turns)
    listed, read, grepped = results(await agent.ainvoke(ASKED))
    told = system_text(model.seen[0])

    assert "adding" in told
    assert "How to add numbers" in told
    assert "proposed" not in told
    assert PATH in listed.text
    assert "Use your fingers." in read.text
    assert PATH in grepped.text


def test_a_note_is_still_there_in_the_next_process(store, skill, open_store):
    write = called("write_file", file_path="/notes/today.md", content="2 and 2 are 4")
    deep_agent(SkillBaseStore(store), write)[1].invoke(ASKED)
    store.close()
    _, agent = deep_agent(SkillBaseStore(open_store()), called("read_file", file_path="/notes/today.md"))

    assert "2 and 2 are 4" in results(agent.invoke(ASKED))[0].text


def test_a_better_text_that_an_agent_writes_is_staged(store, skill):
    edit = called("edit_file", file_path=PATH, old_string="your fingers", new_string="a machine")
    _, agent = deep_agent(SkillBaseStore(store, allow_write=True), called("read_file", file_path=PATH), edit)
    agent.invoke(ASKED)

    assert [version.status for version in store.versions("adding")] == ["live", "staged"]
    assert "Use a machine." in store.get("adding@2").text


def test_where_writing_is_refused_a_permission_tells_the_agent_so(store, skill):
    edit = called("edit_file", file_path=PATH, old_string="your fingers", new_string="a machine")
    rules = [FilesystemPermission(operations=["write"], paths=["/skills/**"], mode="deny")]
    turns = [called("read_file", file_path=PATH), edit]
    _, agent = deep_agent(SkillBaseStore(store), *turns, permissions=rules)
    output = agent.invoke(ASKED)
    assert "permission denied" in results(output)[1].text
    assert output["messages"][-1].text == "done"

    _, agent = deep_agent(SkillBaseStore(store), *turns)
    with pytest.raises(ConfigurationError, match="read only"):
        agent.invoke(ASKED)
