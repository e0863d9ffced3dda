"""Items: any name is data, a tenant has its own, vectors of two embedders never meet, and what has expired is gone."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlmodel import delete, select

from fakes import TopicEmbedder
from skill_plugin.errors import ConfigurationError, EmbedderMismatchError
from skill_plugin.store.items.items import LONGEST_NAME, Change
from skill_plugin.store.items.tables import ItemRow, ItemVectorRow
from skill_plugin.store.tables import utc_now

HERE = ("memories",)


def put(store, key, labels=HERE, texts=(), ttl=None, **value):
    store.items.write([Change(labels, key, value, texts, ttl)])


def search(store, prefix=HERE, query=None, **options):
    vector = None if query is None else store.items.vector(query)
    with store.items.reading(vectors=vector is not None) as reading:
        return reading.search(prefix, vector=vector, **options)


def get(store, key, labels=HERE, **options):
    with store.items.reading() as reading:
        return reading.get(labels, key, **options)


def keys(items):
    return [item.key for item in items]


ODD = [
    "",
    "a",
    "A",
    "a/b",
    "%",
    "_",
    "'; DROP TABLE x",
    "\x00",
    "\ufffd",
    "\ud800",
    "\\",
    "\\u0000",
    "\\\\",
    "é",
    "e\u0301",
    "\n",
    "🙂",
]


@pytest.mark.both_backends
def test_any_key_and_any_label_is_data_and_names_one_item(store):
    for key in ODD:
        put(store, key, of=key)
        put(store, "k", ("under", key or "nothing"), label=key)

    assert [get(store, key).value for key in ODD] == [{"of": key} for key in ODD]
    assert {item.key for item in search(store, limit=99)} == set(ODD)
    assert {item.labels[1] for item in search(store, ("under",), limit=99)} == {key or "nothing" for key in ODD}


@pytest.mark.both_backends
def test_a_prefix_is_whole_labels_in_their_own_case(store):
    for labels in [("a",), ("a", "b"), ("a", "b", "c"), ("A",), ("ab",), ("a/b",), ("a-b",), ("b", "a")]:
        put(store, "k", labels)

    assert {item.labels for item in search(store, ("a",))} == {("a",), ("a", "b"), ("a", "b", "c")}
    assert {item.labels for item in search(store, ("a", "b"))} == {("a", "b"), ("a", "b", "c")}
    assert len(search(store, ())) == 8
    with store.items.reading() as reading:
        assert reading.labels()[:3] == [("A",), ("a",), ("a", "b")]


@pytest.mark.both_backends
def test_the_nearest_text_counts_and_items_without_a_vector_come_last(store):
    put(store, "none")
    put(store, "far", texts=["sort"])
    put(store, "near", texts=["ship", "refund"])
    put(store, "blank", texts=[" "])
    found = search(store, query="refund")

    assert keys(found) == ["near", "far", "blank", "none"]
    assert found[0].score == pytest.approx(1)
    assert [item.score for item in found[2:]] == [None, None]
    assert keys(search(store, query="refund", limit=2, offset=1)) == ["far", "blank"]
    assert keys(search(store, query="refund", keep=lambda value: not value, limit=1)) == ["near"]


def test_without_a_query_what_was_written_last_comes_first_page_by_page(store):
    for number in range(25):
        put(store, f"k{number}", number=number)
    put(store, "k3", number=99)
    pages = [keys(search(store, limit=10, offset=offset)) for offset in (0, 10, 20, 30)]

    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert [key for page in pages for key in page] == ["k3", *(f"k{n}" for n in range(24, -1, -1) if n != 3)]
    odd = keys(search(store, keep=lambda value: value["number"] % 2 == 1, limit=2, offset=1))
    assert odd == ["k23", "k21"]


@pytest.mark.both_backends
def test_a_value_comes_back_as_it_was_and_a_new_one_keeps_the_moment_of_the_first(store):
    value = {"text": "é \x00 \ud800", "number": 2**70, "list": [1.5, None, True, {"a": []}], "": {}}
    store.items.write([Change(HERE, "k", value)])
    first = get(store, "k")
    put(store, "k", a=1)
    second = get(store, "k")

    assert first.value == value
    assert second.value == {"a": 1}
    assert second.created_at == first.created_at < second.updated_at
    store.items.write([Change(HERE, "k", None), Change(HERE, "never", None)])
    assert get(store, "k") is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (Change(HERE, "bad", {"a": {1, 2}}), "the value of 'bad' is not JSON"),
        (Change(HERE, "bad", [1]), r"the value of 'bad' is \[1\]; give a dictionary"),
        (Change(HERE, "bad", {}, ttl="soon"), "the time to live is 'soon'"),
        (Change(HERE, "bad", {}, ttl=1e300), "the time to live is"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_all_that_came_along(store, change, says):
    with pytest.raises(ConfigurationError, match=says):
        store.items.write([Change(HERE, "good", {}), change])

    assert search(store) == []


@pytest.mark.both_backends
def test_a_name_may_be_as_long_as_both_databases_can_look_up(store):
    room = LONGEST_NAME - len("memories.")
    digits = random.Random(0).choices("0123456789abcdef", k=room)  # nothing to compress
    put(store, "".join(digits), texts=["add"])

    assert keys(search(store, query="add")) == ["".join(digits)]
    with pytest.raises(ConfigurationError, match=f"have {LONGEST_NAME + 1} bytes, the limit is {LONGEST_NAME}"):
        put(store, "".join([*digits, "0"]))
    assert get(store, "x" * 5000) is None


def test_a_new_value_has_new_vectors(store):
    put(store, "k", texts=["add", "refund"])
    put(store, "k", texts=["ship"])

    assert search(store, query="refund")[0].score < 0.5
    put(store, "k")
    assert search(store, query="ship")[0].score is None


@pytest.mark.both_backends
def test_a_tenant_has_items_of_its_own_and_takes_them_along(store, open_store):
    other = open_store(namespace="tenant")
    put(store, "k", texts=["add"], of="ours")
    put(other, "k", texts=["add"], of="theirs")

    assert [item.value for item in search(other, (), query="add")] == [{"of": "theirs"}]
    assert other.erase(confirm="tenant") == {"skillp_item": 1, "skillp_item_vector": 1, "skillp_namespace": 1}
    assert (search(other), get(store, "k").value) == ([], {"of": "ours"})


def test_vectors_of_two_embedders_are_never_compared(store, open_store):
    put(store, "k", texts=["add"])
    other = open_store(embedder=TopicEmbedder("another"), check_embedder=False)

    with pytest.raises(EmbedderMismatchError):
        search(other, query="add")
    with pytest.raises(EmbedderMismatchError):
        put(other, "k", texts=["add"])
    put(other, "new")
    assert keys(search(other)) == ["new", "k"]


def test_another_embedder_embeds_the_items_too(store, open_store):
    for number in range(70):  # more than a batch
        put(store, f"k{number}", texts=["add", f"ship {number}"])
    put(store, "none")
    other = open_store(embedder=TopicEmbedder("another"), check_embedder=False)
    other.reembed()

    assert search(other, query="add")[0].score == pytest.approx(1)
    assert len([item for item in search(other, query="add", limit=99) if item.score is None]) == 1
    assert all(check.ok for check in other.check())
    with pytest.raises(EmbedderMismatchError):
        search(store, query="add")


@pytest.mark.both_backends
def test_what_is_written_while_it_is_embedded_anew_has_the_vectors_of_its_new_text(store, open_store):
    class Meddling(TopicEmbedder):
        def embed(self, texts):
            if "add" in texts and not self.calls:
                put(store, "k", texts=["ship"])
            return super().embed(texts)

    put(store, "k", texts=["add"])
    other = open_store(embedder=Meddling("another"), check_embedder=False)
    other.reembed()

    assert search(other, query="ship")[0].score == pytest.approx(1)
    assert search(other, query="add")[0].score < 0.5
    assert all(check.ok for check in other.check())


def test_the_doctor_misses_vectors(store):
    put(store, "k", texts=["add"])
    assert {check.name: check.detail for check in store.check()}["items"].startswith("1 items, none of them")
    with store.database.write() as session:
        session.connection().execute(delete(ItemVectorRow))

    assert [check.name for check in store.check() if not check.ok] == ["items"]


def rows(store):
    with store.database.read() as session:
        return {row.key: row for row in session.exec(select(ItemRow)).all()}


def age(store, key, minutes):
    with store.database.write() as session:
        row = session.exec(select(ItemRow).where(ItemRow.key == key)).one()
        row.expires_at -= timedelta(minutes=minutes)
        session.add(row)


@pytest.mark.both_backends
def test_what_has_expired_is_gone_at_once_and_deleted_by_the_next_write(store):
    put(store, "short", texts=["add"], ttl=1)
    put(store, "long", texts=["add"], ttl=10)
    put(store, "forever", texts=["add"])
    age(store, "short", 2)

    assert get(store, "short") is None
    assert set(keys(search(store))) == set(keys(search(store, query="add"))) == {"long", "forever"}
    assert set(rows(store)) == {"short", "long", "forever"}
    put(store, "new")
    assert set(rows(store)) == {"long", "forever", "new"}
    age(store, "long", 11)
    assert (store.items.sweep(), store.items.sweep()) == (1, 0)


def test_a_read_begins_the_time_to_live_anew_unless_it_is_told_not_to(store):
    put(store, "k", ttl=10)
    age(store, "k", 5)
    aged = rows(store)["k"].expires_at
    get(store, "k", refresh=False)
    search(store, refresh=False)
    assert rows(store)["k"].expires_at == aged

    get(store, "k")
    assert rows(store)["k"].expires_at > aged + timedelta(minutes=4)
    age(store, "k", 5)
    search(store)
    assert rows(store)["k"].expires_at > utc_now() + timedelta(minutes=9)
    put(store, "k")
    assert rows(store)["k"].expires_at is None


@pytest.mark.both_backends
def test_many_threads_write_and_lose_nothing(store):
    def write(number):
        put(store, "shared", texts=["add"], number=number)
        put(store, f"k{number}", texts=["ship"])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(24)))

    assert len(search(store, limit=99)) == 25
    assert len(rows(store)) == 25
    with store.database.read() as session:
        assert len(session.exec(select(ItemVectorRow)).all()) == 25
