"""The thread that keeps the vector index equal to SQL, so that nobody waits for it.

Started by the first write or search. It owns the index if it can, starts Chroma, checks it with canaries, repairs what
differs, and applies the outbox. Whatever fails is tried again later; a folder that Chroma dies of is put aside and built
anew from SQL. Until it is done, and wherever it is not the owner, search uses the vectors in SQL.
"""

import logging
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from skill_plugin.errors import StoreError
from skill_plugin.store import forks
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.index import outbox
from skill_plugin.store.index.chroma import ChromaIndex
from skill_plugin.store.index.worker import WorkerError
from skill_plugin.store.locks import Owner
from skill_plugin.store.sql.database import Database
from skill_plugin.store.tables import NamespaceRow
from skill_plugin.store.vectors import Entry

logger = logging.getLogger(__name__)

CANARIES = 64
NEIGHBOURS = 10
"""A canary must be among so many neighbours of its own vector; HNSW is approximate."""

SAME = 0.9999
"""Cosine from which two float32 vectors are one."""

ALIKE = 0.7
"""Cosine from which HNSW may take one text for another; what a damaged index returns is nothing, or anything."""

_DROP_SECONDS = 10.0

GRACE_SECONDS = 1.0
"""How long a process lives before Chroma is started, unless somebody waits for it. Starting it costs a second of processor time,
more than a command of the shell has need of altogether; SQL answers meanwhile, and what is to be indexed waits in the outbox."""

CATCH_UP_SECONDS, END_SECONDS = 1.0, 0.5
"""What `close` waits for: the index to have everything, and then the thread to end."""

MAX_DELAY_SECONDS = 300.0

PUT_ASIDE_AFTER = 2

POLL_SECONDS = 5.0
"""How often to try again to own the index, and to look for changes that other processes made."""


class Agreement(NamedTuple):
    """A comparison of an index with SQL: entries missing, left over or outdated; canaries found, and asked; and those that were not found
    because others much like them were.
    """

    wrong: int
    found: int
    canaries: int
    alike: int = 0


class Indexer:
    """The thread behind one namespace's index."""

    def __init__(self, database: Database, index: ChromaIndex, owner: Owner) -> None:
        self._database = database
        self._index = index
        self._owner = owner
        self._checked: dict[str, int] = {}  # entries that there were
        self._written = 0  # entries since
        self._failures = 0
        self._not_before = 0.0
        self._unexpected = ""
        self._turns = 0
        self._begin(stopped=False)
        forks.tell(self)

    def after_fork(self) -> None:
        """Starts anew in a child: it has neither the threads nor the index, and a lock may have been a thread's."""
        self._begin(stopped=self._stop.is_set())

    def _begin(self, *, stopped: bool) -> None:
        self._owned = False
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._asked = threading.Event()
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None
        if stopped:
            self._stop.set()

    @property
    def owned(self) -> bool:
        """True if this process writes the index."""
        return self._owned

    @property
    def is_alive(self) -> bool:
        """True if its thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def notify(self) -> None:
        """Tells the thread that there is something to do, and starts it if need be. Never waits."""
        if self._thread is None or not self._thread.is_alive():
            with self._turn:
                if self._stop.is_set():
                    return
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, daemon=True, name="skill-plugin-indexer")
                    self._thread.start()
        self._wake.set()

    def wait(self, seconds: float) -> bool:
        """Waits until the index has every change that is committed now; False if it cannot, or not in time."""
        deadline = time.monotonic() + seconds
        with self._database.read() as session:
            last = outbox.newest(session, self._index.namespace)
        self._not_before = 0.0
        self._asked.set()
        self.notify()
        with self._turn:
            begun, give_up = self._turns, max(PUT_ASIDE_AFTER, self._failures)
            # Two turns: the one that is under way may have looked before the last change. More while it fails, until a new
            # folder has failed too.
            while self._turns < begun + 2 or 0 < self._failures <= give_up:
                self._wake.set()
                self._turn.wait(0.05)
                if self._stop.is_set() or time.monotonic() > deadline:
                    return False
        while not (done := self._up_to_date(last)) and not self._owned and time.monotonic() < deadline:
            # Another process applies the changes; a folder of its own will never be ready here.
            if self._stop.wait(0.05) or not (self._index.is_server or self._pending(last)):
                return False
        return done

    def compare(self) -> Agreement:
        """Compares the index with SQL; what is written meanwhile, and what the index has yet to follow, is left out.

        Raises:
            WorkerError: Chroma cannot say.
        """
        signature = self._signature()
        if signature is None:
            return Agreement(0, 0, 0)
        before, behind = self._wanted(signature)
        entries = self._index.ids(signature=signature)
        after, behind_now = self._wanted(signature)
        moving = (
            behind | behind_now | {one for one in before.keys() | after.keys() if before.get(one) != after.get(one)}
        )
        settled = (entries.keys() | after.keys()) - moving
        right = {one: after[one] for one in settled if one in after and entries.get(one) == after[one]}
        return Agreement(len(settled) - len(right), *self._canaries(signature, right))

    def _wanted(self, signature: str) -> tuple[dict[str, int], set[str]]:
        """Returns the entries that there should be, and the skills whose entry is still to follow, in one state of SQL."""
        with self._database.read() as session:
            live = outbox.live_versions(session, self._index.namespace, signature)
            return live, outbox.behind(session, self._index.namespace)

    def judge(self, seconds: float) -> bool:
        """Checks now, not only when the library doubles, whether the index finds its skills. Waits as `wait` does."""
        self._checked.clear()
        return self.wait(seconds)

    def rebuild(self, seconds: float) -> bool:
        """Throws the collection away and fills it from SQL; returns whether it worked in time."""
        signature = self._signature()
        if signature is None:
            return True
        if not self.wait(seconds) and not self._owned:
            return False
        self._checked.pop(signature, None)
        try:
            self._not_before = 0.0
            self._index.start()
            self._index.drop(signature=signature)
        except WorkerError as exc:
            self._index.fail(str(exc))
        return self.wait(seconds)

    def drop(self) -> None:
        """Deletes the collection, if it can be reached; one that cannot holds vectors and random ids, and no text."""
        signature = self._signature()
        if signature is None:
            return
        try:
            self.wait(_DROP_SECONDS)
            self._index.drop(signature=signature)
        except WorkerError as exc:
            logger.warning("the collection of an erased namespace could not be deleted: %s", exc)
        self._checked.clear()

    def prepare(self, signature: str) -> None:
        """Builds the collection of another embedder beside the one in use, if this process writes the index."""
        if not self._owned:
            return
        try:
            self._index.start()
            self._repair(signature)
        except WorkerError as exc:  # it will be built after the swap, and until then SQL answers
            logger.warning("the index for %s could not be built beforehand: %s", signature, exc)

    def close(self) -> None:
        """Gives an index that was begun a second to catch up, then ends the thread and lets go of the index."""
        working = self._thread is not None and self._thread.is_alive() and self._owned and not self._failures
        if working and self._pending():
            self.wait(CATCH_UP_SECONDS)
        self._stop.set()
        self._asked.set()
        self._wake.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(END_SECONDS)
        self._index.stop()  # whatever the thread still waits for ends with Chroma's process
        self._owner.release()
        self._owned = False

    def _run(self) -> None:
        self._asked.wait(GRACE_SECONDS)
        while not self._stop.is_set():
            self._wake.clear()
            try:
                self._work()
            except WorkerError as exc:
                if self._stop.is_set():  # it was ended, and is not to blame
                    return
                self._failed(exc)
            except (StoreError, OSError) as exc:
                self._index.fail(" ".join(str(exc).split()))
            except Exception as exc:
                if self._stop.is_set():
                    return
                self._failed(WorkerError(f"unexpected {type(exc).__name__}: {exc}", no_fault=True))
                if repr(exc) != self._unexpected:  # once, not at every try
                    self._unexpected = repr(exc)
                    logger.exception("the indexer met an unexpected error, and tries again later")
            with self._turn:
                self._turns += 1
                self._turn.notify_all()
            self._wake.wait(POLL_SECONDS)
            self._stop.wait(min(POLL_SECONDS, max(0.0, self._not_before - time.monotonic())))

    def _work(self) -> None:
        signature = self._signature()
        if signature is None or time.monotonic() < self._not_before:
            return
        was_owned, self._owned = self._owned, self._owner.take()
        if self._owned and not was_owned:
            self._checked.clear()  # whoever owned it meanwhile may have written it from an older state
        if not self._owned and not self._index.is_server:
            self._index.fail("another process owns it")
            return
        self._index.start()
        if self._owned:
            if signature not in self._checked or not self._index.is_ready(signature):
                self._repair(signature)
            self._apply(signature)
            if self._written > max(CANARIES, self._checked[signature]):
                self._repair(signature)  # it has doubled, and may have become what HNSW cannot tell apart
        elif count := self._index.marked_alike(signature=signature):
            self._decline(signature, f"{count} entries did not all find themselves")
        else:
            self._index.declined.pop(signature, None)
        self._failures = 0
        self._index.serve(signature)

    def _apply(self, signature: str) -> None:
        more = True
        while more and not self._stop.is_set():
            with self._database.read() as session:
                changes = outbox.next_changes(session, self._index.namespace, signature)
            if changes is None:
                return
            crashpoint("index.before-upsert")
            self._index.upsert(changes.upserts, signature=signature)
            self._written += len(changes.upserts)
            crashpoint("index.between-upsert-and-delete")
            self._index.delete(changes.deletes, signature=signature)
            crashpoint("index.before-forget")
            with self._database.write() as session:
                outbox.forget(session, self._index.namespace, changes.last)
            crashpoint("index.after-forget")
            more = changes.more

    def _repair(self, signature: str) -> None:
        """Makes the entries agree with SQL, whatever was lost or left over when a process died."""
        entries = self._index.ids(signature=signature)
        with self._database.read() as session:
            live = outbox.live_versions(session, self._index.namespace, signature)
            wrong = [skill_id for skill_id, version in live.items() if entries.get(skill_id) != version]
            right = outbox.entries(session, self._index.namespace, signature, wrong)
        self._index.upsert(right, signature=signature)
        self._index.delete(sorted(entries.keys() - live.keys()), signature=signature)
        found, sample, _ = self._canaries(signature, live)
        if found < sample and self._index.marked_alike(signature=signature) != len(live):
            logger.warning(
                "the Chroma index at %s finds %d of %d skills by their own vectors; building it anew",
                self._index.shown,
                found,
                sample,
            )
            self._index.drop(signature=signature)
            with self._database.read() as session:
                everything = outbox.entries(session, self._index.namespace, signature, live)
            self._index.upsert(everything, signature=signature)
            found, sample, _ = self._canaries(signature, live)
            if found < sample:
                self._index.mark_alike(len(live), signature=signature)
        if found < sample:
            self._decline(signature, f"{found} of {sample} found after it was built anew")
        else:
            self._index.declined.pop(signature, None)
            if self._index.marked_alike(signature=signature):
                self._index.mark_alike(0, signature=signature)
        self._checked[signature] = len(live)
        self._written = 0

    def _decline(self, signature: str, how: str) -> None:
        self._index.decline(
            signature,
            f"the library's texts are too much alike for it ({how}), so search compares with every vector in SQL; nothing is damaged",
        )

    def _canaries(self, signature: str, expected: Mapping[str, int]) -> tuple[int, int, int]:
        """Counts how many of a sample of the `expected` versions the index finds by their own vectors; the sample; and how many it
        takes for others that are much like them.

        A damaged index counts right and finds nothing. Another skill with the same vector is as good.
        """
        with self._database.read() as session:
            sample = sorted(expected)[:: max(1, len(expected) // CANARIES)][:CANARIES]
            entries = outbox.entries(session, self._index.namespace, signature, sample)
            entries = [
                entry for entry in entries if entry.version == expected[entry.skill_id]
            ]  # it may have changed since
            found = alike = 0
            for entry in entries:
                ids = self._index.nearest(entry.vector, min(NEIGHBOURS, len(expected)), signature=signature)
                likeness = 1.0 if entry.skill_id in ids else self._likeness(entry, ids, signature)
                found += likeness > SAME
                alike += SAME >= likeness > ALIKE
        return found, len(entries), alike

    def _likeness(self, entry: Entry, ids: list[str], signature: str) -> float:
        """Returns the highest cosine of an entry with these."""
        with self._database.read() as session:  # as it is now: the index may be newer than the sample
            near = outbox.entries(session, self._index.namespace, signature, ids)
        return max((float(one.vector @ entry.vector) for one in near), default=-1.0)

    def _failed(self, exc: WorkerError) -> None:
        """Tries again, later each time; a folder that failed twice in a row is put aside once."""
        self._index.fail(str(exc))
        self._checked.clear()
        self._failures += 1
        self._not_before = time.monotonic() + min(MAX_DELAY_SECONDS, 0.1 * 2**self._failures)
        if self._failures == PUT_ASIDE_AFTER and self._owned and not self._index.is_server and not exc.no_fault:
            aside = self._index.move_aside()
            logger.warning("the damaged index was put aside at %s; building a new one from SQL", aside)
            self._not_before = 0.0
        self._wake.set()

    def _up_to_date(self, last: int) -> bool:
        signature = self._signature()
        return signature is None or (self._index.is_ready(signature) and not self._pending(last))

    def _pending(self, last: int | None = None) -> bool:
        with self._database.read() as session:
            return outbox.pending(session, self._index.namespace, last)

    def _signature(self) -> str | None:
        with self._database.read() as session:
            row = session.get(NamespaceRow, self._index.namespace)
        if row is None:
            return None
        self._index.key = row.index_key
        return row.signature
