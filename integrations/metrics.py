"""Prometheus metrics of a store. Register the collector in a registry of your own, or read `/metrics` of `skill-plugin serve --http`.

    prometheus_client.REGISTRY.register(StoreCollector(store))

Of a library's own texts only the namespace becomes a label; no metric holds a word of a skill or of a task.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from skill_plugin.errors import MissingExtraError, SkillPluginError
from skill_plugin.integrations.status import status
from skill_plugin.settings import home_folder
from skill_plugin.store import SkillStore
from skill_plugin.store.health import store_health
from skill_plugin.store.runs.waiting import outcomes
from skill_plugin.store.skills.versions import STATUSES

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
    from prometheus_client.registry import Collector
except ImportError as exc:
    raise MissingExtraError("metrics for Prometheus", "prometheus") from exc

if TYPE_CHECKING:
    from skill_plugin.integrations.status import StoreStatus

_log = logging.getLogger(__name__)


class StoreCollector(Collector):
    """Reads a store at each scrape. Where it cannot be read, `skill_plugin_up` is 0 and the rest is left out.

    Args:
        store: The library.
        home: The home folder; by default the usual one.
    """

    def __init__(self, store: SkillStore, home: Path | None = None) -> None:
        self._store = store
        self._home = home or home_folder()

    def describe(self) -> list[Metric]:
        """Returns nothing, so that registering it does not ask the store."""
        return []

    def collect(self) -> Iterator[Metric]:
        searches = self._store._partition.searches  # noqa: SLF001 - a store has as many names as one can keep in mind
        yield self._summary("search_seconds", "Searches of this process.", searches.count, searches.seconds)
        try:
            found = list(self._of_store())
        except SkillPluginError as exc:
            _log.warning("metrics: %s", exc)
            yield self._gauge("up", "1 if the store can be read.", {None: 0})
            return
        yield self._gauge("up", "1 if the store can be read.", {None: 1})
        yield from found

    def _of_store(self) -> Iterator[Metric]:
        facts, found = store_health(self._store, watch=0.0), status(self._store, self._home)
        uses, wins, given = outcomes(self._store)
        yield self._counter("uses", "Credited uses of skills.", uses)
        yield self._counter("wins", "Credited uses that passed.", wins)
        yield self._counter("outcomes", "Outcomes that were reported later.", given)
        by_status = {state: facts.skills.get(state, 0) for state in STATUSES}
        yield self._gauge("skills", "Skills by status.", by_status, "status")
        waiting = {"staged": len(found.waiting.staged), "held": len(facts.held)}
        yield self._gauge("waiting_versions", "Versions that wait for a gate or a person.", waiting, "state")
        yield self._gauge("runs_without_reward", "Runs that nobody has judged.", {None: found.waiting.without_reward})
        yield self._gauge("index_backlog", "Changes that the index has yet to follow.", {None: facts.backlog})
        yield self._gauge("index_oldest_seconds", "Age of the oldest of them.", {None: facts.oldest_change_s or 0})
        yield self._gauge("indexer_running", "1 if a process keeps the index.", {None: int(facts.indexer == "running")})
        if facts.free_bytes is not None:
            yield self._gauge("disk_free_bytes", "Free on the database's disk.", {None: facts.free_bytes})
        if facts.pool_in_use is not None:
            yield self._gauge("pool_in_use", "PostgreSQL connections in use.", {None: facts.pool_in_use})
        yield from self._nights(found)

    def _nights(self, found: "StoreStatus") -> Iterator[Metric]:
        ended = {"retrain": found.last_night, "evolve": found.last_evolve}
        times = {job: (run.at or run.began).timestamp() for job, run in ended.items() if run}
        yield self._gauge("last_run_timestamp_seconds", "When the last run of a job ended.", times, "job")

    def _gauge(self, name: str, text: str, values: Mapping[str, float] | Mapping[None, float], *labels: str) -> Metric:
        family = GaugeMetricFamily(f"skill_plugin_{name}", text, labels=["namespace", *labels])
        for label, value in values.items():
            family.add_metric([self._store.namespace, *([] if label is None else [label])], value)
        return family

    def _counter(self, name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(f"skill_plugin_{name}", text, labels=["namespace"])
        family.add_metric([self._store.namespace], value)
        return family

    def _summary(self, name: str, text: str, count: int, seconds: float) -> Metric:
        family = SummaryMetricFamily(f"skill_plugin_{name}", text, labels=["namespace"])
        family.add_metric([self._store.namespace], count, seconds)
        return family


def page(store: SkillStore, home: Path | None = None) -> tuple[str, str]:
    """Returns a store's metrics as Prometheus reads them, and the type of that text."""
    registry = CollectorRegistry()
    registry.register(StoreCollector(store, home))
    return generate_latest(registry).decode(), CONTENT_TYPE_LATEST
