"""What the packages export is what the documents show, and the other way round."""

import importlib
import re
from pathlib import Path

import pytest

from skill_plugin.store import SkillStore
from skill_plugin.store.skill_store import MOVED

ROOT = Path(__file__).parents[2]
TEXT = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"))
)
WORDS = set(re.findall(r"\w+", TEXT))
PACKAGES = [
    "skill_plugin",
    "skill_plugin.embedders",
    "skill_plugin.functions",
    "skill_plugin.generators",
    "skill_plugin.graphs",
    "skill_plugin.histories",
    "skill_plugin.integrations.langgraph_store",
    "skill_plugin.store",
    "skill_plugin.verifiers",
]


def public(value):
    return {name for name in dir(value) if not name.startswith("_")}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exported_name_exists_and_stands_in_a_document(package):
    module = importlib.import_module(package)
    assert {name for name in module.__all__ if not hasattr(module, name)} == set()
    assert {name for name in module.__all__ if name not in WORDS} == set()


def test_every_import_that_a_document_shows_is_exported():
    """Of a package with `__all__`; a module may show what it likes."""
    missing = set()
    for package in PACKAGES:
        module = importlib.import_module(package)
        shown = re.findall(rf"^ *from {re.escape(package)} import ([^\n#(]+)", TEXT, flags=re.MULTILINE)
        names = {name.split(" as ")[0].strip() for line in shown for name in line.split(",")}
        missing |= {f"{package}.{name}" for name in names if name not in module.__all__ and not is_module(module, name)}
    assert missing == set()


def is_module(package, name):
    return type(getattr(package, name, None)).__name__ == "module"


def test_the_store_has_at_most_forty_names_and_each_is_in_the_table(tmp_path):
    section = re.search(
        r"^## Names\n(.*?)^## ", (ROOT / "docs" / "store.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )[1]
    table = {}
    for left, right in re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE):
        noun = re.fullmatch(r"`(store\.[a-z.]+)`", left)
        table.setdefault(noun[1] if noun else "store", set()).update(re.findall(r"`([a-z_]+)`", right))
    with SkillStore.open(tmp_path, embedder="hashing", chroma=False) as store:
        nouns = {name.split(".")[1] for name in table if name != "store"}
        assert public(store) == table["store"] | nouns
        assert len(public(store)) <= 40
        for place, names in table.items():
            if place != "store":
                part = eval(place, {"store": store})
                assert public(part) - {"evolve", "training"} == names, place


def test_a_name_that_moved_says_where_it_is(tmp_path):
    with SkillStore.open(tmp_path, embedder="hashing", chroma=False) as store:
        with pytest.raises(AttributeError, match=r"it is store\.histories\.import_from now"):
            store.import_histories  # noqa: B018 - reading it is the test
        with pytest.raises(AttributeError, match=r"it is store\.runs\.stage now"):
            store.stage  # noqa: B018
        with pytest.raises(AttributeError, match=r"SkillStore has no 'find'$"):
            store.find  # noqa: B018
        for name, place in MOVED.items():
            part = store
            for step in (place if "." in place else f"{place}.{name}").split("."):
                part = getattr(part, step)
            assert callable(part)
