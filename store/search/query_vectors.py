"""The vectors of queries and of tasks, from one embedder behind a cache."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

from skill_plugin.protocols import Embedder
from skill_plugin.store import forks
from skill_plugin.store.vectors import Vector, unit_vector

QUERY_WORDS, QUERY_LETTERS = 80, 2_000

CACHED_QUERIES = 1024


def beginning(query: str) -> str:
    """Returns the part of a query to embed. More finds no better, and takes a model three times as long (LOG.md)."""
    query = query[:QUERY_LETTERS]  # a script without blanks is one word
    words = query.split(maxsplit=QUERY_WORDS)
    return query[: -len(words[-1])].rstrip() if len(words) > QUERY_WORDS else query


class QueryVectors:
    """An embedder behind a cache of the last queries: a revise loop asks for the same task again and again."""

    def __init__(self, embedder: Embedder, size: int = CACHED_QUERIES) -> None:
        self.embedder = embedder
        self._size = size
        self._lock = threading.Lock()
        self._vectors: OrderedDict[str, Vector] = OrderedDict()
        self._working = 0

    @cached_property
    def signature(self) -> str:
        with self._work():
            return self.embedder.signature

    @property
    def working(self) -> bool:
        """True while the embedder is at work, which may first read its weights."""
        return self._working > 0

    @contextmanager
    def _work(self) -> Iterator[None]:
        with self._lock:
            self._working += 1
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1

    def __call__(self, text: str, also: Sequence[str] = ()) -> Vector:
        """Returns the vector of a text. If the model has to be asked for it, it embeds further texts with it."""
        known = self.known(text)
        if known is not None:
            return known
        texts = [text, *also]
        made = self.embed(texts)
        with self._lock:
            self._vectors.update(zip(texts, made, strict=True))
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
        return made[0]

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Returns the vectors of texts, and does not remember them."""
        with self._work(), forks.no_fork():  # an embedder has locks too
            return [unit_vector(values, self.signature) for values in self.embedder.embed(texts)]

    def known(self, text: str) -> Vector | None:
        """Returns the vector of a text that was embedded lately; never asks the model."""
        with self._lock:
            if text in self._vectors:
                self._vectors.move_to_end(text)
                return self._vectors[text]
        return None
