"""The sync twin of an async job."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from skill_plugin.errors import ConfigurationError

T = TypeVar("T")


def blocking(name: str, job: Callable[[], Coroutine[Any, Any, T]], concurrency: int) -> T:
    """Runs a job to its end, with as many threads as calls at once for what is not async.

    Args:
        name: Of the sync function; its async twin is called the same with an `a` before it.
        job: Begins the async twin.
        concurrency: Calls at once.

    Raises:
        ConfigurationError: an event loop is running.
    """
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        raise ConfigurationError(
            f"{name} cannot be called while an event loop runs, as in a notebook; await a{name}(...)"
        )

    async def run() -> T:
        # The default pool has as many threads as the machine has cores, and four: too few for a slow sync model.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(concurrency + 4))
        return await job()

    return asyncio.run(run())
