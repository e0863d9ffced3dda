"""Finding the right skill: strategies, the floor, and why each hit was picked."""

import pytest

from fakes import TopicEmbedder, skill_text
from skill_plugin import Rollout, Task
from skill_plugin.errors import ConfigurationError
from skill_plugin.store.search.strategies import STRATEGIES

pytestmark = pytest.mark.both_backends


def add(store, name, description, **more):
    return store.add(name=name, description=description, body="Do it.", **more)


@pytest.fixture
def library(store):
    add(store, "add-numbers", "How to add two numbers")
    add(store, "refund-charges", "How to refund a customer, error ERR-4711")
    add(store, "sort-lists", "How to sort values")
    return store


def names(hits):
    return [hit.name for hit in hits]


@pytest.mark.parametrize("strategy", ["hybrid", "dense", "lexical"])
def test_text_strategies_find_what_the_task_is_about(library, strategy):
    assert names(library.search("add these numbers", strategy=strategy))[0] == "add-numbers"


def test_every_hit_says_why(library):
    [hit, *_] = library.search("refund the customer")

    assert {
        "strategy",
        "engine",
        "dense",
        "lexical",
        "relevance",
        "utility",
        "uses",
        "bonus",
        "rank_before",
        "rank",
        "copies",
        "experience",
        "past",
        "nearest_task",
        "nearest_task_cosine",
    } == set(hit.why)
    assert (hit.why["strategy"], hit.why["rank"], hit.why["rank_before"]) == ("hybrid", 1, 1)
    assert hit.why["dense"] > 0
    assert hit.why["lexical"] > 0


def test_a_name_without_meaning_is_found_by_its_letters(library):
    """The embedder knows nothing of error codes; half of the query's words are the skill's own."""
    hits = library.search("ERR-4711", min_score=0.9)

    assert names(hits) == ["refund-charges"]
    assert hits[0].why["dense"] < 0.9


def test_none_is_an_explicit_result_with_its_reason(store):
    assert (store.search("anything"), store.search("anything").reason) == ([], "the library has no skills")
    add(store, "add-numbers", "How to add, add, add two numbers")
    hits = store.search("ship a parcel")

    assert hits == []
    assert hits.reason.startswith("the nearest skill, 'add-numbers', has a cosine of 0.1")
    store.retire("add-numbers")
    assert store.search("add").reason == "the library has no live skills"


def test_at_most_3_by_default_and_copies_count_once(store):
    for number in range(4):
        add(store, f"add-{number}", f"How to add numbers, rule {number}")
    for topic in ("refund", "sort", "ship"):
        add(store, f"{topic}-it", f"How to {topic} and add")
    hits = store.search("add", min_score=0)

    assert len(hits) == 3
    assert hits[0].why["copies"]
    assert len(store.search("add", k=20, min_score=-1)) == 4


def use(store, name, task, reward, run):
    skill = store.get(name)
    rollout = Rollout(generation=0, answer="", skill=skill.ref, reward=reward, passed=reward >= 1)
    store.runs.record(task, [rollout], run_id=run)


def test_same_family_goes_by_what_helped_there(library):
    for number in range(4):
        task = Task(f"sum {number}", family="sums")
        use(library, "sort-lists", task, 1.0, f"s{number}")
        use(library, "add-numbers", task, 0.0, f"a{number}")
    hits = library.search("whatever", strategy="same-family", family="sums")

    assert names(hits) == ["sort-lists", "add-numbers"]
    assert hits[0].why["family_uses"] == 4
    assert (
        library.search("whatever", strategy="same-family", family="other").reason
        == "no live skill has served this family"
    )
    with pytest.raises(ConfigurationError, match="needs a family"):
        library.search("whatever", strategy="same-family")


def test_query_embedding_goes_by_the_nearest_task_that_was_solved(library):
    use(library, "sort-lists", Task("ship ship ship the parcels"), 1.0, "a")
    use(library, "add-numbers", Task("refund refund the money"), 1.0, "b")
    use(library, "refund-charges", Task("ship ship the goods"), 0.0, "c")
    hits = library.search("ship something", strategy="query-embedding")

    assert names(hits)[0] == "sort-lists"
    assert "refund-charges" not in names(hits)
    assert hits[0].why["nearest_task"] == Task("ship ship ship the parcels").id


def test_the_vectors_of_tasks_are_made_once(open_store):
    embedder = TopicEmbedder()
    store = open_store(embedder=embedder)
    add(store, "add-numbers", "How to add")
    use(store, "add-numbers", Task("add 1 and 1"), 1.0, "a")
    store.search("add 2", strategy="query-embedding")
    embedder.calls.clear()
    store.search("add 2", strategy="query-embedding")

    assert embedder.calls == []


def test_lexical_needs_no_model(open_store):
    embedder = TopicEmbedder()
    store = open_store(embedder=embedder)
    add(store, "add-numbers", "How to add")
    embedder.calls.clear()

    assert names(store.search("add", strategy="lexical")) == ["add-numbers"]
    assert embedder.calls == []


def test_an_unknown_strategy_lists_the_known_ones(library):
    with pytest.raises(ConfigurationError, match=", ".join(STRATEGIES)):
        library.search("x", strategy="magic")


def test_words_follow_every_change(store):
    store.add_text(skill_text(name="alpha", description="How to add widgets"))
    assert names(store.search("widgets", strategy="lexical")) == ["alpha"]
    store.revise("alpha", description="How to add gadgets")
    assert names(store.search("gadgets", strategy="lexical")) == []
    store.promote("alpha")
    assert names(store.search("gadgets", strategy="lexical")) == ["alpha"]
    assert names(store.search("widgets", strategy="lexical")) == []
    store.retire("alpha")
    assert names(store.search("gadgets", strategy="lexical")) == []


def test_minilm_and_words_together(open_store, minilm):
    store = open_store(embedder=minilm)
    add(store, "refund-duplicates", "How to refund a customer who was charged twice")
    add(store, "ship-abroad", "How to send parcels to other countries")
    add(store, "tls-1-3-handshake", "How to read a TLS 1.3 handshake trace")

    assert names(store.search("money back for a double payment"))[0] == "refund-duplicates"
    assert names(store.search("what does this handshake trace say"))[0] == "tls-1-3-handshake"
    assert store.search("the mating dance of the albatross") == []


def test_a_long_query_is_embedded_by_its_beginning_and_read_as_a_whole(open_store):
    embedder = TopicEmbedder()
    store = open_store(embedder=embedder)
    add(store, "refund-charges", "How to refund a customer, error ERR-4711")
    embedder.calls.clear()
    hits = store.search("words " * 100 + "ERR-4711", min_score=-1)

    assert embedder.calls == [[("words " * 80).strip()]]
    assert hits[0].why["lexical"] > 0
