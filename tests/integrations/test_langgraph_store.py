"""SkillBaseStore: it answers as LangGraph's InMemoryStore does, and keeps what it was given."""

import random
import re
import threading

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchItem,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore

from fakes import TopicEmbedder
from skill_plugin.embedders import HashingEmbedder
from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations.langgraph_store import SkillBaseStore

HERE = ("memories", "anna")


@pytest.fixture
def items(store):
    return SkillBaseStore(store, index=True)


# ---- the same as the reference

WORDS = ["add", "sort", "parse", "json", "sql", "regex", "graph", "date", "file", "http"]
PLACES = [("a",), ("a", "u1"), ("a", "u1", "x"), ("a", "u2"), ("aX",), ("A", "u1"), ("notes", "u1")]
FILTERS = [None, None, {"kind": "a"}, {"n": {"$gte": 4}}, {"n": {"$gt": 2, "$lte": 8}, "kind": {"$ne": "b"}}]
FILTERS += [{"in": {"deep": 1}}, {"tags": ["x", "y"]}, {"tags": [{"$ne": "z"}, "y"]}, {"never": "x"}]
CONDITIONS = [None, (MatchCondition("prefix", ("a",)),), (MatchCondition("suffix", ("u1",)),)]
CONDITIONS += [(MatchCondition("prefix", ("*", "u1")), MatchCondition("suffix", ("*", "x")))]


class Dice:
    """Random operations. They avoid what InMemoryStore is known to do otherwise than documented: it keeps the vectors of
    what is put again without an index, counts texts that two puts of a batch share once, and lists emptied namespaces.
    """

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.number = 0

    def text(self):
        self.number += 1
        return " ".join([*self.draw.sample(WORDS, 3), f"w{self.number}"])

    def put(self, place, key):
        value = {"text": self.text(), "more": [self.text(), self.text()], "n": self.draw.randint(0, 9)}
        value |= {"kind": self.draw.choice("ab"), "in": {"deep": self.draw.randint(0, 1), "b": 2}, "tags": ["x", "y"]}
        return PutOp(place, key, value, index=False if key in ("k8", "k9") else None)

    def op(self):
        dice, place, key = self.draw, self.draw.choice(PLACES), f"k{self.draw.randint(0, 9)}"
        kind = dice.random()
        if kind < 0.4:
            return self.put(place, key)
        if kind < 0.48:
            return PutOp(place, key, None)
        if kind < 0.65:
            return GetOp(place, key)
        if kind < 0.85:
            prefix, query = dice.choice([(), ("a",), ("a", "u1"), ("none",)]), dice.choice([None, "sort json", "date"])
            offset = 0 if query else dice.choice([0, 2])
            return SearchOp(prefix, dice.choice(FILTERS), dice.choice([0, 3, 10, 100]), offset, query)
        return ListNamespacesOp(dice.choice(CONDITIONS), dice.choice([None, 1, 2]))


def plain(item):
    return item and (item.namespace, item.key, item.value)


def same(op, ours, theirs):
    if isinstance(op, GetOp):
        return plain(ours) == plain(theirs)
    if isinstance(op, ListNamespacesOp):
        return set(ours) <= set(theirs)
    if isinstance(op, SearchOp):
        scores = [[-9 if item.score is None else round(item.score, 3) for item in found] for found in (ours, theirs)]
        whole = (
            op.limit < 100 or op.offset or sorted(map(repr, map(plain, ours))) == sorted(map(repr, map(plain, theirs)))
        )
        return scores[0] == scores[1] and whole
    return ours is theirs is None


@pytest.mark.both_backends
@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_random_operations_have_the_results_of_the_reference(open_store, seed):
    embedder = HashingEmbedder(64)
    fields = ["text", "more[*]"]
    ours = SkillBaseStore(open_store(embedder=embedder), index={"fields": fields})
    theirs = InMemoryStore(index={"dims": 64, "embed": embedder.embed, "fields": fields})
    dice = Dice(seed)
    for _ in range(120):
        ops = [dice.op() for _ in range(dice.draw.randint(1, 5))]
        for op, mine, reference in zip(ops, ours.batch(ops), theirs.batch(ops), strict=True):
            assert same(op, mine, reference), op


# ---- in a graph, and afterwards


async def remember(state: MessagesState, runtime: Runtime):
    await runtime.store.aput(HERE, "k1", {"text": "she likes to add"})
    found = await runtime.store.asearch(HERE, query="add", limit=1)
    return {"messages": [found[0].value["text"]]}


def recall(state: MessagesState, runtime: Runtime):
    return {"messages": [runtime.store.get(HERE, "k1").value["text"]]}


@pytest.mark.both_backends
async def test_a_graph_remembers_and_the_next_process_still_knows(store, open_store):
    first = StateGraph(MessagesState).add_node(remember).add_edge(START, "remember")
    told = await first.compile(store=SkillBaseStore(store, index=True)).ainvoke({"messages": []})
    store.close()
    later = StateGraph(MessagesState).add_node(recall).add_edge(START, "recall")
    recalled = later.compile(store=SkillBaseStore(open_store())).invoke({"messages": []})

    assert told["messages"][-1].text == recalled["messages"][-1].text == "she likes to add"


async def test_neither_the_database_nor_the_embedder_works_on_the_event_loops_thread(open_store):
    threads = set()

    class Watched(TopicEmbedder):
        def embed(self, texts):
            threads.add(threading.get_ident())
            return super().embed(texts)

    items = SkillBaseStore(open_store(embedder=Watched()), index=True)
    await items.aput(HERE, "k", {"text": "add"})

    assert [item.key for item in await items.asearch(HERE, query="ship")] == ["k"]
    assert threading.get_ident() not in threads
    assert threads


def test_reads_of_a_batch_see_what_was_there_before_it_and_the_last_put_wins(items):
    items.put(HERE, "k", {"n": 0})
    ops = [PutOp(HERE, "k", {"n": 1}), GetOp(HERE, "k"), SearchOp(HERE), PutOp(HERE, "k", {"n": 2})]
    results = items.batch(ops)

    assert (results[0], results[1].value, results[2][0].value, results[3]) == (None, {"n": 0}, {"n": 0}, None)
    assert items.get(HERE, "k").value == {"n": 2}
    items.batch([PutOp(HERE, "k", {"n": 3}), PutOp(HERE, "k", None)])
    assert items.get(HERE, "k") is None


@pytest.mark.parametrize(
    "op",
    [
        PutOp(("a.b",), "k", {}),
        GetOp(("a.b",), "k"),
        SearchOp(("a", "")),
        ListNamespacesOp((MatchCondition("prefix", ("a.b",)),)),
        PutOp((1,), "k", {}),
    ],
)
def test_labels_that_are_none_are_refused_in_a_batch_too(items, op):
    with pytest.raises(InvalidNamespaceError):
        items.batch([PutOp(HERE, "k", {}), op])
    assert items.search(()) == []


# ---- finding


def scores(items, query="refund"):
    return {item.key: None if item.score is None else round(item.score, 2) for item in items.search(HERE, query=query)}


def test_what_an_item_is_found_by_is_said_by_the_store_or_by_the_put(store):
    items = SkillBaseStore(store, index={"fields": ["text", "tags[*]"]})
    items.put(HERE, "text", {"text": "refund", "other": "ship"})
    items.put(HERE, "tag", {"tags": ["ship", "refund"]})
    items.put(HERE, "other", {"other": "refund"})
    items.put(HERE, "its own", {"text": "ship", "other": "refund"}, index=["other"])
    items.put(HERE, "none", {"text": "refund"}, index=False)

    assert scores(items) == {"text": 1, "tag": 1, "its own": 1, "other": None, "none": None}


def test_without_an_index_a_query_changes_nothing(store):
    items = SkillBaseStore(store)
    items.put(HERE, "k", {"text": "refund"}, index=["text"])

    assert scores(items) == {"k": None}
    assert store.items._partition.vectors.embedder.calls == []
    indexed = SkillBaseStore(store, index=True)
    indexed.put(HERE, "k2", {"text": "refund"})
    assert scores(indexed, "  ") == {"k": None, "k2": None}


def test_filters_compare_values_as_langgraph_does(items):
    for key, value in {
        "one": {"n": 1, "in": {"a": 1, "b": 2}},
        "ten": {"n": 10},
        "text": {"n": "x"},
        "none": {},
    }.items():
        items.put(HERE, key, value)

    def kept(**filters):
        return {item.key for item in items.search(HERE, filter=filters)}

    assert kept(n={"$gt": 1}) == {"ten"}
    assert kept(n={"$gte": 1, "$lt": 10}) == {"one"}
    assert kept(n={"$ne": 1}) == {"ten", "text", "none"}
    assert kept(n={"$eq": "x"}) == {"text"}
    assert kept(**{"in": {"a": 1}}) == kept(**{"in": {"b": {"$lte": 2}}}) == {"one"}
    assert kept(**{"' OR 1=1 --": "x"}) == set()


def test_namespaces_are_listed_by_prefix_suffix_and_depth(items):
    for place in [("a", "b", "c"), ("a", "d"), ("x", "b", "c")]:
        items.put(place, "k", {})

    assert items.list_namespaces() == [("a", "b", "c"), ("a", "d"), ("x", "b", "c")]
    assert items.list_namespaces(prefix=("a",), max_depth=2) == [("a", "b"), ("a", "d")]
    assert items.list_namespaces(suffix=("b", "*")) == [("a", "b", "c"), ("x", "b", "c")]
    assert items.list_namespaces(prefix=("*", "b"), suffix=("c",), limit=1, offset=1) == [("x", "b", "c")]
    assert items.list_namespaces(prefix=("a", "b", "c", "d")) == []
    assert items.list_namespaces(suffix=("*", "*", "d")) == []


# ---- time to live


def test_time_to_live_comes_from_the_store_or_from_the_put(store):
    items = SkillBaseStore(store, ttl={"default_ttl": 1e-9, "refresh_on_read": False})
    items.put(HERE, "default", {})
    items.put(HERE, "own", {}, ttl=5)
    items.put(HERE, "forever", {}, ttl=None)

    assert items.get(HERE, "default") is None
    assert {item.key for item in items.search(HERE)} == {"own", "forever"}
    assert items.sweep_ttl() == 0  # the later puts took it along
    items.put(HERE, "own", {})
    assert items.sweep_ttl() == 1


# ---- what cannot work says so


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"index": {"embed": len, "dims": 3}}, "SkillStore.open(embedder=...)"),
        ({"index": {"fields": "text"}}, "the fields of the index are 'text'"),
        ({"index": 384}, "index is 384"),
        ({"skills": "skills"}, "skills is 'skills'"),
        ({"skills": ("a.b",)}, "skills is ('a.b',)"),
    ],
)
def test_an_argument_that_cannot_work_says_so(store, options, says):
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        SkillBaseStore(store, **options)


def test_only_a_skill_store_will_do():
    with pytest.raises(ConfigurationError, match="is not a SkillStore"):
        SkillBaseStore("skills.db")


@pytest.mark.parametrize(
    ("op", "says"),
    [
        (SearchOp(HERE, limit=-1), "limit -1"),
        (ListNamespacesOp(offset=-1), "offset -1"),
        (SearchOp(HERE, filter={"a": {"$in": [1]}}), "no operator is called '$in'"),
        (SearchOp(HERE, filter={"a": {"b": {"$in": [1]}}}), "no operator is called '$in'"),
        (ListNamespacesOp((MatchCondition("infix", ("a",)),)), "no match is called 'infix'"),
        (PutOp(HERE, "k", {"a": object()}), "is not JSON"),
        (SearchItem(HERE, "k", {}, None, None), "SearchItem is not an operation"),
    ],
)
def test_an_operation_that_cannot_work_says_so(items, op, says):
    items.put(HERE, "k", {})
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        items.batch([op])
