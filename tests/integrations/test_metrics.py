"""Prometheus's own parser reads what the collector says."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fakes import skill_text
from skill_plugin.integrations import tools
from skill_plugin.integrations.metrics import StoreCollector

SECRET = "a word that no label may hold"


@pytest.fixture
def scrape(home):
    """Samples by name and labels but for the namespace, of a registry with this store."""

    def read(store):
        registry = CollectorRegistry()
        registry.register(StoreCollector(store, home))
        families = text_string_to_metric_families(generate_latest(registry).decode())
        samples = [sample for family in families for sample in family.samples]
        assert {sample.labels["namespace"] for sample in samples} == {store.namespace}
        for sample in samples:
            assert not {"adding", SECRET} & set(sample.labels.values())
        return {(one.name, *(v for k, v in one.labels.items() if k != "namespace")): one.value for one in samples}

    return read


@pytest.mark.both_backends
def test_a_scrape_counts_what_was_done(store, skill, scrape):
    store.search("add")
    run_id = tools.begin_run(store, "adding", SECRET, believed=True)
    store.record_outcome(run_id, 1.0)
    store.add_text(skill_text("sorting"), author="generator")
    said = scrape(store)

    assert said["skill_plugin_up",] == 1
    assert said["skill_plugin_search_seconds_count",] == 1
    assert said["skill_plugin_search_seconds_sum",] > 0
    assert (said["skill_plugin_uses_total",], said["skill_plugin_outcomes_total",]) == (1, 1)
    assert (said["skill_plugin_skills", "live"], said["skill_plugin_skills", "staged"]) == (1, 1)
    assert said["skill_plugin_waiting_versions", "staged"] == 1
    assert said["skill_plugin_index_backlog",] >= 1
    assert (("skill_plugin_pool_in_use",) in said) != store.database.is_sqlite
    assert (("skill_plugin_disk_free_bytes",) in said) == store.database.is_sqlite


def test_a_night_has_a_time(store, skill, scrape):
    assert ("skill_plugin_last_run_timestamp_seconds", "retrain") not in scrape(store)
    store.runs.training.begin("night", {})
    store.runs.training.save("night", {"ended_at": "2026-11-30T02:00:00+00:00"}, outcome="kept")

    assert scrape(store)["skill_plugin_last_run_timestamp_seconds", "retrain"] == 1796004000


def test_a_store_that_is_gone_is_down_and_the_scrape_goes_on(home, store, skill, scrape):
    (home / "skills.db").rename(home / "elsewhere.db")

    assert scrape(store)["skill_plugin_up",] == 0
