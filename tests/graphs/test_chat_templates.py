"""What four families' chat templates make of our messages: the skill is in the prompt, and no request is refused.

The templates keep the families' rules, in words of our own: who may speak first, where a system message may stand, and how they read a
content that is a list.
"""

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from langchain.agents import create_agent
from langchain_core.messages import convert_to_openai_messages
from langgraph.graph import END, START, MessagesState, StateGraph

from fakes import AgentChat
from skill_plugin.graphs import add_skills, create_skill_graph
from skill_plugin.integrations.middleware import SkillMiddleware

ADD = {"messages": [("user", "add 2 and 2")]}
TURNS = """
{%- for message in rest -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}{{ refuse('roles must take turns, user first') }}{%- endif -%}
<{{ message.role }}>
{%- if message.content is string -%}{{ message.content }}{%- else -%}
{%- for part in message.content -%}{%- if part.type == 'text' -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endif -%}
</{{ message.role }}>
{%- endfor -%}
"""
FIRST_IS_SYSTEM = "{%- if messages[0].role == 'system' -%}"
TEMPLATES = {
    # The system message goes in front of the first user's; of a list it reads the first part alone.
    "gemma": FIRST_IS_SYSTEM
    + "{%- set content = messages[0].content -%}{{ content if content is string else content[0].text }}"
    + "{%- set rest = messages[1:] -%}{%- else -%}{%- set rest = messages -%}{%- endif -%}"
    + TURNS,
    # One system message, which must be a text.
    "mistral": FIRST_IS_SYSTEM
    + "{%- if messages[0].content is not string -%}{{ refuse('the system message must be a text') }}{%- endif -%}"
    + "[{{ messages[0].content }}]{%- set rest = messages[1:] -%}{%- else -%}{%- set rest = messages -%}{%- endif -%}"
    + TURNS,
    "qwen": """
{%- for message in messages -%}
{%- if message.role == 'system' and not loop.first -%}{{ refuse('System message must be at the beginning.') }}{%- endif -%}
<{{ message.role }}>
{%- if message.content is string -%}{{ message.content }}{%- else -%}{%- for part in message.content -%}{{ part.text }}{%- endfor -%}
{%- endif -%}{%- endfor -%}""",
    "llama": "{%- for message in messages -%}<{{ message.role }}>{{ message.content | trim }}{%- endfor -%}",
}


def rendered(name, messages):
    def refuse(why):
        raise jinja2.TemplateError(why)

    environment = ImmutableSandboxedEnvironment()
    environment.globals["refuse"] = refuse
    return environment.from_string(TEMPLATES[name]).render(messages=convert_to_openai_messages(messages))


def host(model, prompt, **options):
    def agent(state: MessagesState):
        return {"messages": [model.invoke([*prompt, *state["messages"]])]}

    builder = StateGraph(MessagesState).add_node("agent", agent).add_edge(START, "agent").add_edge("agent", END)
    return lambda store: add_skills(builder, store=store, before="agent", **options).compile().invoke(ADD)


WAYS = {
    "add_skills, a host without a system message": lambda model: host(model, []),
    "add_skills, a host that puts its own one first": lambda model: host(
        model, [("system", "Be brief.")], show_in="human"
    ),
    "the middleware, with a system prompt": lambda model: (
        lambda store: create_agent(model, system_prompt="Be brief.", middleware=[SkillMiddleware(store)]).invoke(ADD)
    ),
    "the middleware, without": lambda model: (
        lambda store: create_agent(model, middleware=[SkillMiddleware(store)]).invoke(ADD)
    ),
    "create_skill_graph": lambda model: (
        lambda store: (
            create_skill_graph(
                store=store,
                llm=model,
                verifier=lambda task, answer: 1.0,
                generator=AgentChat(iter([])),
                system_prompt="Be brief.",
            )
            .compile()
            .invoke({"task": "add 2 and 2"})
        )
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_skill_is_in_every_familys_prompt(store, skill, way):
    model = AgentChat(lambda messages: "4")
    WAYS[way](model)(store)

    for name in TEMPLATES:
        assert "Use your fingers." in rendered(name, model.seen[0]), name


@pytest.mark.parametrize("name", ["gemma", "mistral", "qwen"])
def test_two_system_messages_are_what_they_refuse_and_told_of(store, skill, name, caplog):
    """Why a host with a system message of its own says show_in="human"."""
    model = AgentChat(lambda messages: "4")
    host(model, [("system", "Be brief.")])(store)

    with pytest.raises(jinja2.TemplateError):
        rendered(name, model.seen[0])
    assert "has 2 system messages" in caplog.text
    assert 'show_in="human"' in caplog.text
