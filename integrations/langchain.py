"""LangChain's retriever and tools over the library of skills."""

import asyncio
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Annotated, Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import ConfigDict, Field

from skill_plugin import prompts
from skill_plugin.errors import SkillPluginError
from skill_plugin.hits import SkillHits
from skill_plugin.integrations import tools
from skill_plugin.protocols import Strategy
from skill_plugin.store import DEFAULT_EXPERIENCE, DEFAULT_MIN_SCORE, SkillStore
from skill_plugin.store.guard import OnStoreError, StoreGuard
from skill_plugin.store.search.retrieval import DEFAULT_STRATEGY


class SkillRetriever(BaseRetriever):
    """The live skills for a query, best first, as documents. `invoke(query, k=5)` goes before `k`.

    A document's content is the skill's procedure between fences, as `prompts.guidance` shows it, ready for a prompt. Its id is
    `skill_id@version`, and its metadata has `name`, `description`, `text` (the SKILL.md to the letter), `skill_id`, `version`,
    `score`, `utility` and `why`, as `SkillHit` has them.

    Args:
        store: The library.
        k: The most skills to return, from 1 to 20.
        min_score: The floor; see `SkillStore.search`.
        experience: How much the tasks that a skill has passed count in search, from 0 to 1.
        strategy: The way to search; see `SkillStore.search`.
        on_store_error: Without the store no documents are returned (`skip`); or `raise`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    store: SkillStore
    k: int = tools.DEFAULT_K
    min_score: float = DEFAULT_MIN_SCORE
    experience: float = DEFAULT_EXPERIENCE
    strategy: str | Strategy = DEFAULT_STRATEGY
    on_store_error: OnStoreError = "skip"

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        del run_manager
        return self._found(query, k)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        del run_manager
        return await asyncio.to_thread(self._found, query, k)

    def _found(self, query: str, k: int | None) -> list[Document]:
        wanted = self.k if k is None else k
        return [
            Document(
                id=hit.ref,
                page_content=prompts.guidance([(hit.ref, hit.name, hit.text)]),
                metadata={
                    "name": hit.name,
                    "description": hit.description,
                    "text": hit.text,
                    "skill_id": hit.skill_id,
                    "version": hit.version,
                    "score": hit.score,
                    "utility": hit.utility,
                    "why": dict(hit.why),
                },
            )
            for hit in self._guard.ask(lambda: self._search(query, wanted), lambda why: SkillHits(reason=why))
        ]

    @cached_property
    def _guard(self) -> StoreGuard:
        return StoreGuard(self.store, self.on_store_error)

    def _search(self, query: str, k: int) -> SkillHits:
        return self.store.search(query, k, min_score=self.min_score, experience=self.experience, strategy=self.strategy)


def skill_tools(store: SkillStore, *, allow_write: bool = False) -> list[BaseTool]:
    """Makes an agent's `search_skills`, `get_skill` and `report_outcome`; with `allow_write` also `propose_skill`.

    What an agent proposes is staged: the gate or a person makes it live. A run whose id an agent made up is kept, and counts for
    nothing unless `allow_write` says that agents are believed. An error is a line that the model reads.
    """

    def search_skills(
        query: Annotated[str, Field(description="What is to be done, in a sentence.")],
        k: Annotated[int, Field(description="How many skills at most, from 1 to 20.")] = tools.DEFAULT_K,
    ) -> tools.SearchResult:
        """Find skills (proven procedures) for a task. Use it before you begin one; then read the best with get_skill."""
        return tools.search_skills(store, query, k)

    def get_skill(
        name: Annotated[str, Field(description="The skill's name, or its ref from search_skills.")],
    ) -> tools.SkillText:
        """Read a skill: its whole procedure."""
        return tools.get_skill(store, name)

    def report_outcome(
        run_id: Annotated[str, Field(description="The run's id; if you were given none, a new text of your own.")],
        reward: Annotated[float, Field(description="How well it went, from 0 (failed) to 1 (done).")],
        feedback: Annotated[str, Field(description="Why, in a sentence.")] = "",
        skill: Annotated[str | None, Field(description="The skill you used, if you made up the run_id.")] = None,
        task: Annotated[str | None, Field(description="What was to be done, if you made up the run_id.")] = None,
    ) -> tools.OutcomeReport:
        """Report how a task went that was done with a skill, so that good skills are found more often."""
        return tools.report_outcome(store, run_id, reward, feedback, skill=skill, task=task, believed=allow_write)

    def propose_skill(
        text: Annotated[
            str, Field(description="A whole SKILL.md: front matter with name and description, then steps.")
        ],
    ) -> tools.Proposal:
        """Propose a new skill, or a better version of the one with the same name. It is staged until it has been checked."""
        return tools.propose_skill(store, text)

    functions: list[Callable[..., Any]] = [search_skills, get_skill, report_outcome]
    guard = StoreGuard(store, "raise")  # what the store raises, or that it does not answer, is a line for the model
    return [_tool(function, guard) for function in [*functions, *([propose_skill] if allow_write else [])]]


def _tool(function: Callable[..., Any], guard: StoreGuard) -> BaseTool:
    @wraps(function)  # its signature becomes the tool's schema
    def call(**arguments: Any) -> Any:
        try:
            return guard.ask(lambda: function(**arguments), str)
        except SkillPluginError as exc:
            raise ToolException(str(exc)) from exc

    async def acall(**arguments: Any) -> Any:
        return await asyncio.to_thread(call, **arguments)

    return StructuredTool.from_function(call, acall, handle_tool_error=True, handle_validation_error=_misfit)


def _misfit(error: Any) -> str:
    """Returns the first thing that is wrong with a call's arguments, in one line."""
    wrong = error.errors()[0]
    place = ".".join(map(str, wrong["loc"]))
    return f"the arguments do not fit: {place}: {wrong['msg']}, got {wrong.get('input')!r:.80}; correct the call"
