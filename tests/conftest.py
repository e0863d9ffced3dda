"""Fixtures: a home of one's own, and a real store: on SQLite and Chroma, or on PostgreSQL and a Chroma server."""

import json
import os

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and Rich keeps what it finds when it is imported
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import servers
import training_processes
from adapters import BASE_MODEL, adapter
from cli_jobs import AGENT, TASKS
from fakes import TopicEmbedder, skill_text
from skill_plugin import Skill
from skill_plugin.checkpoints import Checkpoint
from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.integrations.cli import app
from skill_plugin.store import SkillStore

with suppress(ImportError):  # the environments of vLLM and of the server do without it
    from hypothesis import settings

    settings.register_profile("any machine", deadline=None)  # no test depends on the machine's speed
    settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test ever sees the developer's own home folder or settings."""
    for name in [name for name in os.environ if name.startswith("SKILL_PLUGIN_") and name != servers.OWN_SERVER]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("SKILL_PLUGIN_HOME", str(folder))
    return folder


@dataclass(frozen=True)
class Backend:
    """Where a test's store is. `chroma` is what to pass for an index; None is a folder in the home."""

    location: str | Path
    chroma: str | None = None

    @property
    def is_sqlite(self) -> bool:
        return isinstance(self.location, Path)

    def options(self) -> dict[str, Any]:
        """What `SkillStore.open` takes in another process, index included."""
        return {"location": self.location, "chroma": self.chroma}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that are marked `both_backends` run on SQLite and on PostgreSQL with a Chroma server; others on SQLite."""
    if "backend" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_backends"):
        metafunc.parametrize("backend", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no store that does not answer."""
    monkeypatch.setattr("skill_plugin.store.guard.WAIT_S", 60.0)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server's `postgres` database."""
    if own := os.environ.get(servers.OWN_SERVER):
        yield own
        return
    programs = servers.postgres_programs()
    if programs is None:
        pytest.skip(f"no PostgreSQL here: install Debian's postgresql, or set {servers.OWN_SERVER} to a server's URL")
    with servers.postgres(programs) as url:
        yield url


@pytest.fixture(scope="session")
def databases(postgres: str) -> Iterator[servers.Databases]:
    with servers.Databases(postgres) as pool:
        yield pool


@pytest.fixture
def new_database(databases: servers.Databases) -> Iterator[Callable[[], str]]:
    """Returns empty databases, each the test's own until it ends."""
    taken: list[str] = []

    def take() -> str:
        taken.append(databases.take())
        return databases.url(taken[-1])

    yield take
    for name in taken:
        databases.give_back(name)


@pytest.fixture(scope="session")
def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.chroma_server(tmp_path_factory.mktemp("chroma-server")) as url:
        yield url


@pytest.fixture
def backend(request: pytest.FixtureRequest, home: Path) -> Backend:
    if getattr(request, "param", "sqlite") == "sqlite":
        return Backend(home)
    return Backend(request.getfixturevalue("new_database")(), request.getfixturevalue("chroma_url"))


@pytest.fixture
def open_store(backend: Backend) -> Iterator[Callable[..., SkillStore]]:
    """Opens stores that are closed at the end; by default the test's own with a tiny embedder.

    Without Chroma unless a test asks for it (`chroma=None`): its process takes a second to start.
    """
    opened: list[SkillStore] = []

    def open_one(location: object = None, **options: object) -> SkillStore:
        options.setdefault("embedder", TopicEmbedder())
        options.setdefault("chroma", False)
        if location is None and options["chroma"] is None:
            options["chroma"] = backend.chroma
        opened.append(SkillStore.open(location or backend.location, **options))
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


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line without a model to read, on a wide terminal."""
    monkeypatch.setenv("SKILL_PLUGIN_EMBEDDER", "hashing")
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
def cli() -> Callable[..., str]:
    """Runs the command line; what it printed, or on failure what it said on standard error."""

    def run(*words: object, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(map(str, words)))
        assert result.exit_code == code, result.output + result.stderr
        return result.stdout if code == 0 else result.stderr

    return run


@pytest.fixture(scope="session")
def minilm() -> MiniLMEmbedder:
    """The real weights, read once."""
    return MiniLMEmbedder()


@pytest.fixture(scope="session")
def trainers() -> Iterator[training_processes.Trainers]:
    """Starts training runs in processes of their own."""
    with training_processes.Trainers() as started:
        yield started


@pytest.fixture
def register(store: SkillStore, tmp_path: Path) -> Callable[..., Checkpoint]:
    """Registers another adapter at each call."""
    made: list[Path] = []

    def one(**given: Any) -> Checkpoint:
        made.append(adapter(tmp_path / f"night-{len(made)}", seed=len(made)))
        return store.checkpoints.register(made[-1], **{"base_model": BASE_MODEL, **given})

    return one


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `skill-plugin evolve`'s tasks and an agent."""
    (tmp_path / "agent_for_evolve.py").write_text(AGENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, TASKS)))
    return tmp_path
