"""LangChain's standard tests of retrievers and tools.

All of them run. `ToolsUnitTests.test_init_from_env` has nothing to look at: no tool reads the environment.
"""

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests, ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from fakes import skill_text
from skill_plugin.integrations.langchain import SkillRetriever, skill_tools


class OfLibrary:
    @pytest.fixture(autouse=True)
    def library(self, store):
        for name, topic in {"adding": "add", "refunds": "refund", "sorting": "sort", "shipping": "ship"}.items():
            store.add_text(skill_text(name, f"How to {topic}", f"Do it, {name}."))
        self.store = store


class TestSkillRetriever(OfLibrary, RetrieversIntegrationTests):
    retriever_constructor = SkillRetriever
    retriever_query_example = "add two numbers"

    @property
    def retriever_constructor_params(self):
        return {"store": self.store, "min_score": 0}


EXAMPLES = {
    "search_skills": {"query": "add"},
    "get_skill": {"name": "adding"},
    "report_outcome": {"run_id": "mine", "reward": 1, "skill": "adding", "task": "add 2 and 2"},
    "propose_skill": {"text": skill_text("subtracting")},
}


class OfEachTool(OfLibrary):
    @pytest.fixture(params=EXAMPLES, autouse=True)
    def name(self, request, library):
        self.name = request.param

    @property
    def tool_constructor(self):
        return next(tool for tool in skill_tools(self.store, allow_write=True) if tool.name == self.name)

    @property
    def tool_invoke_params_example(self):
        return EXAMPLES[self.name]


class TestToolsUnit(OfEachTool, ToolsUnitTests):
    pass


class TestToolsIntegration(OfEachTool, ToolsIntegrationTests):
    pass
