"""Which way imports may point, what a bare import may load, and where a heavy package may be named."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = {"skill_plugin": 0, "store": 1, "graphs": 2, "integrations": 3}
SOURCES = [
    path
    for folder in LAYERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    # The folders also show through links inside skill_plugin; each file counts where it really lies.
    if path.resolve() == path
]
LOADING = tuple(f"skill_plugin/models/{name}.py" for name in ("gguf", "loaded_model", "local_engine"))
ONLY_IN = {
    "torch": ("skill_plugin/training/", "skill_plugin/generators/local.py", *LOADING),
    "transformers": ("skill_plugin/training/", *LOADING),
    "peft": ("skill_plugin/training/", *LOADING),
    "accelerate": ("skill_plugin/training/",),
    "chromadb": ("store/index/chroma_process.py",),
    "langgraph": (
        "graphs/",
        "integrations/langgraph_store/store.py",
        "integrations/middleware.py",
        "integrations/langgraph_store/files.py",
    ),
    "sqlmodel": ("store/",),
    "sqlalchemy": ("store/",),
    "alembic": ("store/",),
    "typer": ("integrations/cli/",),
    "mcp": ("integrations/mcp/sdk.py", "integrations/mcp/server.py", "integrations/mcp/http.py"),
    "starlette": ("integrations/mcp/http.py", "integrations/model_server.py", "integrations/page/"),
    "jinja2": ("integrations/page/site.py",),
    "uvicorn": (
        "integrations/mcp/http.py",
        "integrations/mcp/clients.py",
        "integrations/model_server.py",
        "integrations/page/server.py",
    ),
    "prometheus_client": ("integrations/metrics.py",),
    "langchain": ("skill_plugin/models/chat_models.py", "integrations/middleware.py"),
    "langchain_openai": ("skill_plugin/models/chat_models.py",),
    "httpx": ("skill_plugin/generators/vllm_server.py",),
}
HEAVY = {
    "torch", "transformers", "peft", "sentence_transformers", "chromadb", "langgraph", "langchain_core", "sqlmodel",
    "httpx",
}  # fmt: skip


def where(source):
    return source.relative_to(ROOT).as_posix()


def imports(source):
    """Every name that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(name):
    """Layer of a dotted name; everything directly in skill_plugin is layer 0."""
    parts = name.split(".")
    return LAYERS.get(parts[1], 0) if len(parts) > 1 else 0


def test_there_are_sources_in_every_layer():
    assert {where(source).split("/")[0] for source in SOURCES} == set(LAYERS)


def test_imports_point_inward():
    outward = {
        (where(source), name)
        for source in SOURCES
        for name in imports(source)
        if name.startswith("skill_plugin") and layer(name) > LAYERS[where(source).split("/")[0]]
    }

    assert outward == set()


def test_heavy_packages_are_named_where_they_belong():
    strays = {
        (where(source), name)
        for source in SOURCES
        for name in imports(source)
        if (places := ONLY_IN.get(name.split(".")[0])) and not where(source).startswith(places)
    }

    assert strays == set()


def test_a_file_stays_under_400_lines():
    lines = {where(source): len(source.read_text(encoding="utf-8").splitlines()) for source in SOURCES}

    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_no_two_classes_have_one_name():
    places = defaultdict(list)
    for source in SOURCES:
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(where(source))

    assert {name: files for name, files in places.items() if len(files) > 1} == {}


WITHOUT_FORK = """
import importlib, os, pkgutil
import chromadb, langchain, langgraph, mcp, peft, torch, transformers  # builds for this system, which do fork
for name in ("fork", "register_at_fork", "forkpty"):
    vars(os).pop(name, None)
import skill_plugin
for one in pkgutil.walk_packages([os.path.dirname(skill_plugin.__file__)], "skill_plugin."):
    if not one.name.endswith("__main__") and ".migrations." not in one.name:
        importlib.import_module(one.name)
"""


def test_everything_can_be_imported_where_processes_cannot_fork():
    """As on Windows."""
    ran = subprocess.run([sys.executable, "-c", WITHOUT_FORK], capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import skill_plugin", HEAVY),
        ("from skill_plugin import verifiers, generators, embedders, gates, settings", HEAVY),
        ("from skill_plugin.store import SkillStore", HEAVY - {"sqlmodel"}),
        (
            "from skill_plugin.graphs import create_skill_graph",
            HEAVY - {"sqlmodel", "langgraph", "langchain_core", "httpx"},
        ),
        ("import skill_plugin.integrations.cli", HEAVY),
        ("import skill_plugin.integrations.tools", HEAVY - {"sqlmodel"}),
        ("import skill_plugin.integrations.langchain", HEAVY - {"sqlmodel", "langchain_core"}),
        ("import skill_plugin.integrations.langgraph_store.store", HEAVY - {"sqlmodel", "langgraph", "langchain_core"}),
    ],
)
def test_an_import_loads_only_what_it_needs(statement, heavy):
    code = f"{statement}; import sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert heavy & set(result.stdout.split()) == set()


def test_no_source_is_imported_under_a_second_name():
    """From the repository root `import store` would work by accident and copy every class."""
    names = {"store", "graphs", "integrations"}

    assert {name for source in SOURCES for name in imports(source) if name.split(".")[0] in names} == set()
