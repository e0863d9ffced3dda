"""Prompt tokens that skills add to one model call, at several sizes of the library: ours beside deepagents' own.

    python benchmarks/prompt_tokens.py [--skills 10 500 5000] [--tasks 20] [--json OUT]

Four deep agents over the same library of made-up skills: none of it, `SkillMiddleware(store)`, the same with
`load_skill=True, k=5`, and `create_deep_agent(skills=[...])` over the SKILL.md files that `store.export_skills` wrote. What the
first model call of a run is given (system message and tools as JSON) is counted, averaged over the tasks; the figures are what
each adds to the agent without skills. Bodies have 3,600 characters, the mean of 1,646 published skills; descriptions have 80,
where published ones have 211, which is in favour of a list. The tokenizer is MiniLM's own.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepagents import create_deep_agent
from deepagents.backends import FilesystemBackend
from filling import embed, fill, made_up_skills, made_up_tasks
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr
from rich.progress import track
from tokenizers import Tokenizer

from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.integrations.middleware import SkillMiddleware
from skill_plugin.store import SkillStore
from skill_plugin.store.skills.pruning import CAPACITY

BODY = "1. Look at what came in.\n2. Do what the rule of the office says.\n" * 55


class Watched(BaseChatModel):
    """Answers at once; keeps the text and the tools that it was given."""

    _given: list[str] = PrivateAttr(default_factory=list)
    _tools: str = PrivateAttr(default="")

    @property
    def given(self) -> str:
        """The text and tools of the last call."""
        return self._given[-1]

    @property
    def _llm_type(self) -> str:
        return "watched"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        self._tools = json.dumps([convert_to_openai_tool(tool) for tool in tools])
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self._given.append("\n".join([*(str(message.text) for message in messages), self._tools]))
        return ChatResult(generations=[ChatGeneration(message=AIMessage("done"))])


def counter(embedder: MiniLMEmbedder) -> Callable[[str], int]:
    tokenizer = Tokenizer.from_file(str(embedder.folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def measured(size: int, tasks: list[str], embedder: MiniLMEmbedder, tokens: Callable[[str], int]) -> dict[str, Any]:
    documents = [replace(document, body=BODY) for document in made_up_skills(size)]
    with (
        tempfile.TemporaryDirectory() as folder,
        SkillStore.open(Path(folder, "store"), embedder=embedder, chroma=False, capacity=max(CAPACITY, size)) as store,
    ):
        fill(store, embedder.signature, documents, embed(embedder, documents))
        store.export_skills(Path(folder, "agent", "skills"))
        files = FilesystemBackend(root_dir=str(Path(folder, "agent")), virtual_mode=True)
        ways: dict[str, dict[str, Any]] = {
            "none": {},
            "SkillMiddleware": {"middleware": [SkillMiddleware(store)]},
            "SkillMiddleware, load_skill, k=5": {"middleware": [SkillMiddleware(store, k=5, load_skill=True)]},
            "deepagents' skills": {"skills": ["/skills/"], "backend": files},
        }
        given: dict[str, float] = {}
        for way, options in ways.items():
            model = Watched()
            agent = create_deep_agent(model=model, **{"backend": files, **options})
            counts = []
            for task in track(tasks, f"{size} skills, {way}"):
                agent.invoke({"messages": [("user", task)]})
                counts.append(tokens(model.given))
            given[way] = statistics.fmean(counts)
            if way.startswith("deepagents"):
                listed = sum(f"**{document.name}**" in model.given for document in documents)
    added = {way: round(count - given["none"]) for way, count in given.items() if way != "none"}
    return {"skills": size, "listed_by_deepagents": listed, "without": round(given["none"]), "added": added}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skills", type=int, nargs="+", default=[10, 500, 5000])
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    embedder = MiniLMEmbedder()
    tokens, tasks = counter(embedder), made_up_tasks(arguments.tasks)
    figures = {
        "tokenizer": "all-MiniLM-L6-v2 (WordPiece)",
        "tasks": arguments.tasks,
        "sizes": [measured(size, tasks, embedder, tokens) for size in arguments.skills],
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
