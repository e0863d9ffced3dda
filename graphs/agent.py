"""The agent that `langgraph.json` serves: under the model that is set, else under a simulated one.

    langgraph dev                                          # simulated models, offline, in the demonstration's world
    SKILL_PLUGIN_MODEL=openai:gpt-5-mini langgraph dev     # a real one, over your own library

The server calls `graph` for every request. The first call opens the store, in a thread; importing this file opens nothing.
"""

import asyncio
import threading
from functools import cache
from typing import Annotated, Any, Required

from langgraph.graph.state import CompiledStateGraph
from pydantic import Field
from typing_extensions import TypedDict

from skill_plugin import generators, verifiers
from skill_plugin.demo import business, world
from skill_plugin.demo.simulated import DESCRIPTIONS, SimulatedAnalyst, SimulatedEditor
from skill_plugin.graphs.skill_graph import create_skill_graph
from skill_plugin.models import chat_models
from skill_plugin.settings import Settings
from skill_plugin.store import SkillStore

SIMULATED = "simulated"
"""The folder in the home for what simulated models do, so that it never gets into a real library."""

_opening = threading.Lock()


class Question(TypedDict, total=False):
    """A client's request. Verifiers, skills and arms are the operator's, so they are not in here."""

    task: Required[Annotated[str, Field(description="The question or task, in plain language.")]]
    reference: Annotated[Any, Field(description="What the answer is compared with, if that is known.")]


async def graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    """Returns the skill graph, one for the whole process; compiled bare, because the server brings its own checkpointer."""
    return await asyncio.to_thread(_graph)


def _graph() -> CompiledStateGraph[Any, Any, Any, Any]:
    with _opening:
        return _open()


@cache
def _open() -> CompiledStateGraph[Any, Any, Any, Any]:
    settings = Settings.load()
    return _simulated(settings) if settings.model is None else _real(settings)


def _real(settings: Settings) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Makes the graph of the user's models, library and verifier; without a verifier outcomes come later, and nothing is revised."""
    store = SkillStore.from_settings(settings)
    return create_skill_graph(
        store=store,
        llm=chat_models.from_settings(settings),
        verifier=verifiers.load(settings.verifier, import_functions=True) if settings.verifier else None,
        generator=generators.from_settings(settings, store.checkpoints.live),
        max_generations=settings.max_generations,
        input_schema=Question,
    ).compile(name="agent")


def _simulated(settings: Settings) -> CompiledStateGraph[Any, Any, Any, Any]:
    home = settings.home / SIMULATED
    store = SkillStore.from_settings(settings.model_copy(update={"home": home, "database": None, "chroma": None}))
    database = home / world.DATABASE
    if not database.is_file():
        business.build(database)
    known = {skill.name for skill in store.list()}
    for name, rule in world.STARTERS:
        if name not in known:
            store.add(name=name, description=DESCRIPTIONS[name], body=f"- {rule}")
    return create_skill_graph(
        store=store,
        llm=SimulatedAnalyst(),
        verifier=world.judge(database),
        generator=SimulatedEditor(),
        max_generations=settings.max_generations,
        system_prompt=world.SYSTEM_PROMPT,
        input_schema=Question,
    ).compile(name="simulated agent")
