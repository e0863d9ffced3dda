"""The host comes first: a run goes on where the store cannot answer, and its record is tried again later."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Literal, TypeVar, get_args

from skill_plugin import workers
from skill_plugin.errors import ConfigurationError, InvalidTaskError, StoreUnavailableError
from skill_plugin.store.skill_store import SkillStore

T = TypeVar("T")
OnStoreError = Literal["skip", "raise"]

_log = logging.getLogger(__name__)

WAIT_S = 2.0
"""How long a host waits for the database; a lock is held for milliseconds."""

MODEL_WAIT_S = 60.0
"""How long it waits for the embedder, which may have to read its weights first."""


class StoreGuard:
    """Asks the store for a host, and waits for it no longer than a host should.

    What the store raises, or that it does not answer in time, is a reason to go on without; wrong arguments are not. It is logged
    as a warning once, until the store answers again.

    Args:
        store: The library.
        on_store_error: `skip` goes on, `raise` raises what the store raised.

    Raises:
        ConfigurationError: `on_store_error` is neither.
    """

    def __init__(self, store: SkillStore, on_store_error: OnStoreError) -> None:
        if on_store_error not in get_args(OnStoreError):
            raise ConfigurationError(f"on_store_error is {on_store_error!r:.80}; give 'skip' or 'raise'")
        self._store = store
        self._raises = on_store_error == "raise"
        self._warned = False

    def ask(self, call: Callable[[], T], otherwise: Callable[[str], T]) -> T:
        """Returns what the store answers; else what `otherwise` makes of the reason, which is one line.

        Args:
            call: Asks the store.
            otherwise: Is told why the store gave no answer.
        """
        try:
            answer = bounded(call, self._waits)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the host goes on
            return otherwise(self._reason(exc))
        self._answered()
        return answer

    async def aask(self, call: Callable[[], T], otherwise: Callable[[str], T]) -> T:
        """Does as `ask` does, without holding up the event loop."""
        try:
            answer = await abounded(call, self._waits)
        except Exception as exc:  # noqa: BLE001
            return otherwise(self._reason(exc))
        self._answered()
        return answer

    def _answered(self) -> None:
        """Notes that the store answers; one that is for reading only will refuse the next record all the same."""
        self._warned = self._warned and self._store.database.read_only is not None

    def _waits(self) -> Iterator[float]:
        """Yields how long to wait, and then again for as long as the embedder is at work."""
        yield WAIT_S
        for _ in range(int(MODEL_WAIT_S / WAIT_S)):
            if not self._store.tasks.is_embedding:
                return
            yield WAIT_S

    def _reason(self, exc: Exception) -> str:
        if self._raises or isinstance(exc, ConfigurationError | InvalidTaskError):
            raise exc
        reason = f"the store cannot answer: {' '.join(str(exc).split())[:300] or type(exc).__name__}"
        if not self._warned:
            _log.warning("%s; agents go on without skills meanwhile (on_store_error='skip')", reason)
        self._warned = True
        return reason


def bounded(call: Callable[[], T], waits: Callable[[], Iterable[float]]) -> T:
    """Returns what a call returns, or raises what it raises; one that takes longer than all waits is left behind.

    Raises:
        StoreUnavailableError: it took longer.
    """
    ended: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
    workers.start(lambda: ended.put(_tried(call)))
    for seconds in waits():
        with suppress(Empty):
            result, error = ended.get(timeout=seconds)
            break
    else:
        raise _too_long()
    if error is not None:
        raise error
    return result  # type: ignore[return-value] # there was no error


async def abounded(call: Callable[[], T], waits: Callable[[], Iterable[float]]) -> T:
    """Does as `bounded` does, without holding up the event loop."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()

    def tell(result: tuple[T | None, BaseException | None]) -> None:
        if not ended.done():
            ended.set_result(result)

    def work() -> None:
        result = _tried(call)
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result)

    workers.start(work)
    for seconds in waits():
        await asyncio.wait([ended], timeout=seconds)
        if ended.done():
            break
    else:
        raise _too_long()
    result, error = ended.result()
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _tried(call: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    try:
        return call(), None
    except BaseException as exc:  # noqa: BLE001 - it is raised where it is waited for
        return None, exc


def _too_long() -> StoreUnavailableError:
    return StoreUnavailableError(
        f"it did not answer within {WAIT_S:g} s; look for who holds a lock: skill-plugin doctor"
    )
