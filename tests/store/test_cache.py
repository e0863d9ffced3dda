"""A search that is asked again is answered from memory, and never says anything but what SQL says now."""

import pytest

from skill_plugin import Rollout, Task
from skill_plugin.store.search.cache import RecentSearches
from skill_plugin.store.search.strategies import ByText

pytestmark = pytest.mark.both_backends


@pytest.fixture
def library(store):
    for name, topic in (("add-numbers", "add"), ("add-more", "add and refund"), ("refund-money", "refund")):
        store.add(name=name, description=f"How to {topic}", body=f"Do {name}.")
    return store


def hits(store, query="add", **options):
    return [
        (hit.name, hit.version, hit.text, hit.score, hit.utility) for hit in store.search(query, min_score=0, **options)
    ]


@pytest.fixture
def lookups(library, monkeypatch):
    """How often the candidates of a query were really looked for."""
    seen = []
    real = ByText.rank
    monkeypatch.setattr(ByText, "rank", lambda self, lookup: seen.append(lookup.query) or real(self, lookup))
    return seen


def test_the_same_question_has_the_same_answer_and_is_looked_for_once(library, lookups):
    assert hits(library) == hits(library)
    assert lookups == ["add"]
    assert hits(library, strategy="lexical") != []
    assert lookups == ["add", "add"]


def test_utility_is_read_anew_and_moves_the_hits(library, lookups):
    first = hits(library)
    worst = library.get(first[0][0])
    for number in range(30):
        used = Rollout(generation=0, answer="", skill=worst.ref, reward=0.0, passed=False)
        library.runs.record(Task(f"t{number}"), [used], run_id=f"r{number}")
    again = hits(library)

    assert [utility for name, *_, utility in again if name == worst.name] == [0.0]
    assert again[0][3] < first[0][3]
    assert lookups == ["add"]


def test_every_change_of_the_library_is_seen_also_one_of_another_process(library, lookups, open_store):
    hits(library)
    other = open_store()
    other.promote(other.revise("add-numbers", body="Better.").ref)
    assert ("add-numbers", 2) in [hit[:2] for hit in hits(library)]
    assert any("Better." in hit[2] for hit in hits(library))
    other.retire("add-more")
    assert "add-more" not in [hit[0] for hit in hits(library)]
    other.add(name="add-third", description="How to add", body="Third.")
    other.quarantine("add-numbers")
    assert "add-numbers" not in [hit[0] for hit in hits(library)]
    assert len(lookups) == 4


def test_only_so_many_are_kept():
    recent = RecentSearches(size=2)
    for request in "abc":
        recent.get("state", request)
        recent.keep("state", request, request)

    assert [recent.get("state", request) for request in "abc"] == [None, "b", "c"]
    assert recent.get("another state", "c") is None
    recent.keep("state", "late", "late")
    assert recent.get("another state", "late") is None
