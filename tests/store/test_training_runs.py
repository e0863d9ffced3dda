"""Training runs in the store: where a night goes on, and from where the next one learns."""

from datetime import UTC, datetime, timedelta

import pytest

from skill_plugin.errors import ConfigurationError, RunNotFoundError

both = pytest.mark.both_backends

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@both
def test_a_run_is_kept_from_its_beginning_to_its_end(store):
    begun = store.runs.training.begin(
        "t1", {"steps": 3}, data_from=None, data_to=NOON, data_hash="x", seeds={"data": 1}
    )
    assert (begun.config, begun.data_to, begun.seeds, begun.outcome) == ({"steps": 3}, NOON, {"data": 1}, None)
    store.runs.training.save("t1", {"step": 2})
    assert store.runs.training.begin("t1", {"steps": 9}).progress == {"step": 2}
    store.runs.training.save("t1", {"step": 3}, outcome="kept")

    [run] = store.runs.training.list()
    assert (run.config, run.progress, run.outcome) == ({"steps": 3}, {"step": 3}, "kept")


@both
def test_the_next_run_begins_where_the_last_successful_one_ended(store):
    assert store.runs.training.trained_until() is None
    for number, outcome in enumerate(["promoted", "kept", "out of memory", None]):
        store.runs.training.begin(f"t{number}", {}, data_to=NOON + timedelta(days=number))
        store.runs.training.save(f"t{number}", {}, outcome=outcome)

    assert store.runs.training.trained_until() == NOON + timedelta(days=1)
    assert [run.id for run in store.runs.training.list()] == ["t0", "t1", "t2", "t3"]


def test_what_cannot_be_kept_is_one_line(store):
    with pytest.raises(RunNotFoundError, match="'t9'"):
        store.runs.training.save("t9", {})
    with pytest.raises(ConfigurationError, match="config cannot be kept as JSON"):
        store.runs.training.begin("t1", {"rate": float("inf")})
