"""Parts that benchmarks share: made-up skills and tasks, filling a store, the peer's encoder, times. Not run itself."""

import re
import statistics
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import sentence_transformers
from rich.progress import track
from threadpoolctl import ThreadpoolController

from skill_plugin.embedders import MiniLMEmbedder
from skill_plugin.records import sha256
from skill_plugin.skills.skill_md import MAX_NAME, SkillDocument, render
from skill_plugin.store import SkillStore, namespaces
from skill_plugin.store.index.outbox import mark_changed
from skill_plugin.store.tables import EmbeddingRow, SkillRow, SkillVersionRow
from skill_plugin.store.vectors import Vector, to_bytes

VERBS = ("count", "list", "refund", "ship", "translate", "summarise", "compare", "schedule", "archive", "convert")
NOUNS = (
    "orders",
    "tickets",
    "invoices",
    "customers",
    "parcels",
    "reports",
    "contracts",
    "meetings",
    "photos",
    "accounts",
)
PLACES = ("north", "south", "east", "west", "Leeds", "Turin", "Porto", "Oslo", "Kyoto", "Quito")

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_AT_ONCE = 1024


def made_up_skills(count: int) -> list[SkillDocument]:
    return [
        SkillDocument(
            f"skill-{n}",
            f"How to {VERBS[n % 10]} the {NOUNS[n // 10 % 10]} of {PLACES[n // 100 % 10]}, by rule {n // 1000} of office {n}.",
            "1. Look.\n2. Do it.\n" * 20,
        )
        for n in range(count)
    ]


def made_up_tasks(count: int) -> list[str]:
    return [
        f"Please {VERBS[n % 10]} all the {NOUNS[n * 7 % 10]} that came in from {PLACES[n * 3 % 10]} during week {n}, and leave "
        f"out everything that was cancelled, deleted or entered twice by mistake; round amounts to {n % 4} digits."
        for n in range(count)
    ]


def skill_names(names: Iterable[str]) -> list[str]:
    """Turns names into names by the rules of SKILL.md, humps into words; one that is taken becomes a `-v2`."""
    taken: set[str] = set()
    made = []
    for name in names:
        plain = unicodedata.normalize("NFKD", _HUMP.sub(" ", name)).encode("ascii", "ignore").decode().lower()
        base = "-".join(re.findall(r"[a-z0-9]+", plain))[: MAX_NAME - 8].strip("-") or "skill"
        unique, number = base, 1
        while unique in taken:
            number += 1
            unique = f"{base}-v{number}"
        taken.add(unique)
        made.append(unique)
    return made


def embed(embedder: MiniLMEmbedder, documents: Sequence[SkillDocument]) -> Vector:
    """Embeds documents; shape [documents, 384]."""
    texts = [document.embedded_text for document in documents]
    starts = track(range(0, len(texts), _AT_ONCE), "embedding")
    return np.concatenate([np.asarray(embedder.embed(texts[start : start + _AT_ONCE])) for start in starts])


def fill(store: SkillStore, signature: str, documents: Sequence[SkillDocument], vectors: Vector) -> None:
    """Writes live skills, a table at a time in one transaction: `store.add` makes one for each and embeds them singly."""
    common = {"namespace": store.namespace}
    ids = [f"sk_{n:012x}" for n in range(len(documents))]
    with store.database.write() as session:
        namespaces.ensure(session, store.namespace)
        namespaces.claim(session, store.namespace, signature)
        session.add_all(
            SkillRow(
                id=skill_id,
                name=document.name,
                description=document.description,
                status="live",
                live_version=1,
                **common,
            )
            for skill_id, document in zip(ids, documents, strict=True)
        )
        session.flush()
        for skill_id, document in zip(ids, documents, strict=True):
            text = render(document)
            session.add(
                SkillVersionRow(
                    skill_id=skill_id,
                    number=1,
                    generation=0,
                    description=document.description,
                    text=text,
                    sha256=sha256(text),
                    author="import",
                    **common,
                )
            )
        session.flush()
        session.add_all(
            EmbeddingRow(skill_id=skill_id, number=1, signature=signature, vector=to_bytes(vector), **common)
            for skill_id, vector in zip(ids, vectors, strict=True)
        )
        mark_changed(session, store.namespace, ids)


class PlainEncoder:
    """The peer's way to a vector: the same weights through sentence-transformers on one thread, and nothing else."""

    def __init__(self, embedder: MiniLMEmbedder) -> None:
        self.model = sentence_transformers.SentenceTransformer(str(embedder.folder), device="cpu")
        self._threads = ThreadpoolController()

    def __call__(self, text: str) -> Vector:
        with self._threads.limit(limits=1):
            return self._encode(text)

    def scores(self, text: str, vectors: Vector) -> Vector:
        """Returns the cosine of the text and each row of a matrix; the product, too, runs on one thread."""
        with self._threads.limit(limits=1):
            scores: Vector = vectors @ self._encode(text)
        return scores

    def _encode(self, text: str) -> Vector:
        vector: Vector = self.model.encode(text, normalize_embeddings=True, show_progress_bar=False)
        return vector

    def tokens(self, text: str) -> int:
        return len(self.model.tokenizer(text)["input_ids"])


def timed(call: Callable[[], Any]) -> float:
    """Times a call, in milliseconds."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def summary(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {"p50_ms": round(statistics.median(ordered), 2), "p95_ms": round(ordered[int(len(ordered) * 0.95)], 2)}
