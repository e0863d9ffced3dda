"""Parts that benchmarks/what_users_get.py's proofs share: a store, the graph, settings, intervals. Not run itself."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student_t

from skill_plugin import embedders
from skill_plugin.graphs import EvolveSettings, create_skill_graph
from skill_plugin.protocols import Embedder
from skill_plugin.records import Task
from skill_plugin.store import SkillStore


def luck(*words: object) -> Random:
    """Returns draws that are the same in each run."""
    return Random(" ".join(map(str, words)))  # noqa: S311 - it has to be repeatable


class Remembering:
    """An embedder that encodes each text once, however many stores ask."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, Sequence[float]] = {}

    @property
    def signature(self) -> str:
        return self._embedder.signature

    def embed(self, texts: Sequence[str]) -> list[Sequence[float]]:
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            self._known |= dict(zip(new, self._embedder.embed(new), strict=True))
        return [self._known[text] for text in texts]


@dataclass(frozen=True)
class Options:
    """Options of all rows: seeds where a row has no number of its own, MetaTool's folder, changes to our defaults."""

    seeds: int | None = None
    data: Path | None = None
    embedder: str | Embedder = "minilm"
    changes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def encoder(self) -> Remembering:
        return Remembering(embedders.load(self.embedder))

    def settings(self, **given: Any) -> EvolveSettings:
        """Returns the defaults with what is given, as far as this version has such settings, and with `--set`."""
        known = {one.name for one in fields(EvolveSettings)}
        return EvolveSettings(**{name: given[name] for name in given.keys() & known} | dict(self.changes))

    @contextmanager
    def store(self) -> Iterator[SkillStore]:
        """Opens a new store."""
        with (
            tempfile.TemporaryDirectory() as folder,
            SkillStore.open(Path(folder, "store"), embedder=self.encoder, chroma=False) as store,
        ):
            yield store


def served(store: SkillStore, agent: Any, tasks: Sequence[Task], verifier: Any) -> list[dict[str, Any]]:
    """Returns what users get of each task: the output of the whole graph, with what is live now."""
    graph = create_skill_graph(store=store, llm=agent, verifier=verifier).compile()
    return [
        graph.invoke({"task": task.input, "reference": task.reference, "family": task.family, "split": task.split})
        for task in tasks
    ]


def passed(outputs: Sequence[Mapping[str, Any]]) -> int:
    return sum(bool(one["passed"]) for one in outputs)


def facts(**figures: Any) -> dict[str, Any]:
    """Rounds the floats of figures, for people and JSON."""
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}


def changed(changes: Sequence[str]) -> dict[str, Any]:
    """Parses settings from `NAME=VALUE`; values as in JSON, else texts."""
    given: dict[str, Any] = {}
    for one in changes:
        name, _, value = one.partition("=")
        try:
            given[name] = json.loads(value)
        except ValueError:
            given[name] = value
    return given


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean, and half the width of its 95 % interval (Student's t); 0 wide of one value."""
    if len(values) < 2:
        return fmean(values), 0.0
    return fmean(values), float(student_t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
