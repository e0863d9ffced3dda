"""Search as if a version were live: the same answer that a promotion would give, without one."""

from dataclasses import replace

import pytest

from fakes import TopicEmbedder, skill_text
from skill_plugin import Revision, Rollout, Task
from skill_plugin.errors import ConfigurationError, InvalidSkillError, SkillNotFoundError, StoreError
from skill_plugin.store import Draft
from skill_plugin.store.search.strategies import STRATEGIES

pytestmark = pytest.mark.both_backends

TASK = Task("refund two orders", family="refunds")
VAGUE = "How to do things with care"
QUERIES = ("refund the second charge", "add these numbers", "ship a parcel", "charge 4711")


@pytest.fixture
def library(store):
    store.add(name="add-numbers", description="How to add two numbers", body="Add.")
    store.add(name="refund-charges", description="How to refund a charge", body="Refund.")
    store.add(name="sort-lists", description="How to sort values", body="Sort.")
    store.search(TASK.input)
    rollout = Rollout(generation=0, answer="", skill=store.get("refund-charges").ref, reward=1.0, passed=True)
    store.runs.record(TASK, [rollout], run_id="r")
    return store


@pytest.fixture
def stage(library):
    """Stages a first version of a skill of its own, or another version of a live one."""

    def one(name="ship-parcels", description="How to ship a parcel", parent=None):
        text = skill_text(name, description, "Ship it.")
        wrote = Revision(completion=text, text=text, prompt=({"role": "user", "content": "x"},))
        [staged] = library.runs.stage(
            TASK, [wrote], run_id="r", group_id=f"g-{name}-{description}", generation=1, parent=parent
        )
        return staged.skill.ref

    return one


def answers(store, **options):
    """What every strategy finds for every query."""
    options |= {"k": 20, "min_score": 0.3, "family": "refunds"}
    found = {}
    for strategy in STRATEGIES:
        for query in QUERIES:
            hits = store.search(query, strategy=strategy, **options)
            found[strategy, query] = (list(hits), hits.reason)
    return found


@pytest.mark.parametrize("description", ["How to refund, refund, refund a charge 4711", VAGUE])
def test_a_staged_version_is_found_as_it_would_be_after_its_promotion(library, stage, description):
    ref = stage("refund-charges", description, parent=library.get("refund-charges").ref)
    before, drafted = answers(library), answers(library, instead=ref)

    assert answers(library) == before
    library.promote(ref)
    assert drafted == answers(library) != before


def test_a_staged_skill_counts_as_live(library, stage):
    ref = stage()
    before, drafted = answers(library), answers(library, instead=ref)

    assert answers(library) == before
    library.promote(ref)
    assert drafted == answers(library) != before


def test_an_older_version_counts_as_live_and_the_live_one_does_not(library):
    library.revise("refund-charges", description=VAGUE)
    library.promote("refund-charges@2")
    drafted = answers(library, instead="refund-charges@1")

    assert drafted["hybrid", QUERIES[0]][0][0].version == 1
    library.rollback("refund-charges", 1)
    assert drafted == answers(library)


@pytest.mark.parametrize("skill", [None, "refund-charges", "refund-charges@1"])
def test_a_text_that_is_not_in_the_store_is_found_as_if_it_were(library, stage, skill):
    name = "refund-charges" if skill else "ship-parcels"
    drafted = answers(library, instead=Draft(skill_text(name, "How to ship a parcel", "Ship it."), skill))
    ref = stage(name, parent=library.get(name).ref if skill else None)
    library.promote(ref)
    own_id = ref.split("@")[0] if skill else "draft"

    for asked, (hits, reason) in answers(library).items():
        if asked[0] == "same-family" and not skill:
            continue  # the staged one was written for a task of the family, the text was not
        as_text = [replace(hit, skill_id=own_id, version=0) if hit.ref == ref else hit for hit in hits]
        assert drafted[asked] == (as_text, reason)


def test_a_text_is_found_in_an_empty_library(store):
    [hit] = store.search("add 2 and 2", instead=Draft(skill_text()))

    assert (hit.ref, hit.text) == ("draft@0", skill_text())
    assert store.search("add 2 and 2").reason == "the library has no skills"


def test_the_floor_holds_for_it_too(library, stage):
    hits = library.search("ship ship ship", instead=stage("add-more", "How to add, add, add"), min_score=0.9)

    assert (hits, hits.reason.startswith("the nearest skill, ")) == ([], True)


def test_chroma_proposes_the_others(open_store):
    store = open_store(chroma=None)
    store.add(name="add-numbers", description="How to add two numbers", body="Add.")
    store.revise("add-numbers", description="How to ship, ship a parcel")
    assert store.wait_for_index()
    hits = store.search("ship a parcel", instead="add-numbers@2")

    assert [(hit.name, hit.version, hit.why["engine"]) for hit in hits] == [("add-numbers", 2, "chroma")]


def test_a_text_is_embedded_once(open_store):
    embedder = TopicEmbedder()
    store = open_store(embedder=embedder)
    for query in QUERIES:
        store.search(query, instead=Draft(skill_text()))

    assert len(embedder.calls) == 1 + len(QUERIES)


@pytest.mark.parametrize(
    ("instead", "error", "said"),
    [
        ("add-numbers", ConfigurationError, "does not name a version"),
        (7, ConfigurationError, "does not name a version"),
        ("nothing@1", SkillNotFoundError, "no skill 'nothing'"),
        ("add-numbers@9", SkillNotFoundError, "no version 9"),
        ("sort-lists@1", StoreError, "'sort-lists' is retired"),
        (Draft("nothing"), InvalidSkillError, "no front matter"),
        (Draft(skill_text(), "nothing"), SkillNotFoundError, "no skill 'nothing'"),
        (Draft(skill_text(), "sort-lists"), StoreError, "'sort-lists' is retired"),
    ],
)
def test_what_cannot_be_live_is_an_error(library, instead, error, said):
    library.retire("sort-lists")
    with pytest.raises(error, match=said):
        library.search("add", instead=instead)
