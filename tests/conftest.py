"""Fixtures: a home of one's own, and a real store on real SQLite and real Chroma."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes import TopicEmbedder, skill_text
from skill_plugin import Skill
from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.store import SkillStore


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test ever sees the developer's own home folder or settings."""
    for name in ("DATABASE", "NAMESPACE", "EMBEDDER", "MODEL", "GENERATOR", "BASE_URL", "MAX_GENERATIONS", "DEBUG"):
        monkeypatch.delenv(f"SKILL_PLUGIN_{name}", raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("SKILL_PLUGIN_HOME", str(folder))
    return folder


@pytest.fixture
def open_store(home: Path) -> Iterator[Callable[..., SkillStore]]:
    """Opens stores that are closed at the end; by default the one in the home folder with a tiny embedder.

    Without Chroma unless a test asks for it (`chroma=None`): its process takes a second to start.
    """
    opened: list[SkillStore] = []

    def open_one(location: object = None, **options: object) -> SkillStore:
        options.setdefault("embedder", TopicEmbedder())
        options.setdefault("chroma", False)
        opened.append(SkillStore.open(location or home, **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., SkillStore]) -> SkillStore:
    return open_store()


@pytest.fixture
def skill(store: SkillStore) -> Skill:
    """A live skill that is not good enough."""
    return store.add_text(skill_text())


@pytest.fixture(scope="session")
def minilm() -> MiniLMEmbedder:
    """The real weights, read once."""
    return MiniLMEmbedder()
