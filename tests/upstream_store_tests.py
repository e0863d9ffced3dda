"""LangGraph's own tests of its SQLite store, run on SkillBaseStore.

    make test-upstream
    python tests/upstream_store_tests.py FOLDER [options of pytest]    # of the unpacked langgraph-checkpoint-sqlite

Their files are not part of this repository; the two classes that they import are replaced by one over SkillBaseStore, and
nothing else. What must fail, and why, is in LEFT_OUT; the rest must pass.
"""

import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from langgraph.store import sqlite

from skill_plugin.embedders import HashingEmbedder, LangChainEmbedder
from skill_plugin.integrations.langgraph_store import SkillBaseStore
from skill_plugin.store import SkillStore

FILES = ("test_store.py", "test_async_store.py", "test_ttl.py")

LEFT_OUT = {
    "test_vector_store_initialization": "reads the attribute index_config of SqliteStore",
    "test_nonnull_migrations": "reads the attribute MIGRATIONS of SqliteStore",
    "test_sql_injection_vulnerability": "wants odd filter keys refused; to ours they are data like any other",
    "test_filter_keys_with_hyphens_and_digits": "wants 'a.b' in a filter to mean b in a; InMemoryStore and ours take keys as they are",
    "test_no_running_loop": "wants sync calls on the event loop's thread refused; ours work anywhere",
    "test_ttl_override_default": "wants an item gone 4 s after a read, whose TTL of 5 s that read began anew",
}


class Swapped(SkillBaseStore):
    """With the ways of opening and closing that the tests use."""

    def setup(self) -> None:
        """Ours has its tables."""

    def start_ttl_sweeper(self) -> None:
        """Ours has no thread."""

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """As above."""
        return timeout is None or timeout >= 0

    @classmethod
    @contextmanager
    def from_conn_string(cls, _: str, *, index: Any = None, ttl: Any = None) -> Iterator["Swapped"]:
        embedder = LangChainEmbedder(index["embed"], "theirs") if index else HashingEmbedder()
        fields = {"fields": index.get("text_fields") or index.get("fields")} if index else None
        with (
            tempfile.TemporaryDirectory() as folder,
            SkillStore.open(folder, embedder=embedder, chroma=False) as store,
        ):
            yield cls(store, index=fields, ttl=ttl, skills=None)


class AsyncSwapped(Swapped):
    async def setup(self) -> None:  # type: ignore[override]
        """Ours has its tables."""

    async def start_ttl_sweeper(self) -> None:  # type: ignore[override]
        """Ours has no thread."""

    async def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:  # type: ignore[override] # noqa: ASYNC109
        return super().stop_ttl_sweeper(timeout)

    async def sweep_ttl(self) -> int:  # type: ignore[override]
        return super().sweep_ttl()

    @classmethod
    @asynccontextmanager
    async def from_conn_string(cls, _: str, **options: Any) -> AsyncIterator["AsyncSwapped"]:  # type: ignore[override]
        with super().from_conn_string(_, **options) as store:
            yield store


class LeaveOut:
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            name = item.name.partition("[")[0]
            if name in LEFT_OUT:
                item.add_marker(pytest.mark.skip(reason=LEFT_OUT[name]))


if __name__ == "__main__":
    sqlite.SqliteStore, sqlite.AsyncSqliteStore = Swapped, AsyncSwapped
    sys.modules["langgraph.store.sqlite.aio"].AsyncSqliteStore = AsyncSwapped
    tests = Path(sys.argv[1], "tests").resolve()
    options = [
        "-o",
        "asyncio_mode=auto",
        "-o",
        "addopts=",
        "-o",
        "markers=flaky",
        "-p",
        "no:cacheprovider",
        "-rs",
        "--rootdir",
        str(tests.parent),
        *sys.argv[2:],
    ]
    sys.exit(pytest.main([*(str(tests / name) for name in FILES), *options], plugins=[LeaveOut()]))
