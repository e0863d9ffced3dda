"""Asking the library with filters: each one, in pages, in order, and refused where it is wrong."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest
from sqlmodel import update

from fakes import MACHINE, skill_text
from skill_plugin import Revision, Rollout, Task
from skill_plugin.errors import ConfigurationError
from skill_plugin.store import SkillStore
from skill_plugin.store.tables import SkillRow

pytestmark = pytest.mark.both_backends


def add(store, name, *, author="human", description="How to add", body="Do it."):
    return store.add_text(skill_text(name, description, f"{body} {name}"), author=author)


def use(store, name, *rewards, family="default"):
    skill = store.get(name)
    for number, reward in enumerate(rewards):
        task = Task(f"{name} {family} {number}", family=family)
        rollout = Rollout(generation=0, answer="", skill=skill.ref, reward=reward, passed=reward >= 1)
        store.runs.record(task, [rollout], run_id=f"{name}-{family}-{number}")


def names(page):
    return [skill.name for skill in page]


@pytest.fixture
def library(store):
    """Of every kind one: good, poor, unused, staged, retired, quarantined."""
    for name in ("good", "poor", "unused", "resting", "suspect"):
        add(store, name)
    add(store, "waiting", author="generator")
    use(store, "good", 1.0, 1.0, 0.0)
    use(store, "poor", 0.25, family="hard")
    store.retire("resting")
    store.quarantine("suspect")
    store.pin("good")
    return store


FILTERS = [
    ({}, ["good", "poor", "resting", "suspect", "unused", "waiting"]),
    ({"status": "live"}, ["good", "poor", "unused"]),
    ({"status": "staged"}, ["waiting"]),
    ({"status": "retired"}, ["resting"]),
    ({"status": "quarantined"}, ["suspect"]),
    ({"utility": (0.6, None)}, ["good"]),
    ({"utility": (None, 0.25)}, ["poor"]),
    ({"utility": (0.25, 0.95)}, ["good", "poor"]),
    ({"utility": (0.3, 0.4)}, []),
    ({"utility": (None, None)}, ["good", "poor", "resting", "suspect", "unused", "waiting"]),
    ({"uses": (1, None)}, ["good", "poor"]),
    ({"uses": (None, 0)}, ["resting", "suspect", "unused", "waiting"]),
    ({"uses": (3, 3)}, ["good"]),
    ({"family": "hard"}, ["poor"]),
    ({"family": "default"}, ["good"]),
    ({"family": "nothing"}, []),
    ({"author": "generator"}, ["waiting"]),
    ({"author": "import"}, []),
    ({"pinned": True}, ["good"]),
    ({"pinned": False, "status": "live"}, ["poor", "unused"]),
    ({"text": "DO IT. un"}, ["unused"]),
    ({"text": "oo"}, ["good", "poor"]),
    ({"status": "live", "uses": (1, None), "utility": (None, 0.5)}, ["poor"]),
]


def test_each_filter(library, subtests):
    for filters, expected in FILTERS:
        with subtests.test(filters=filters):
            page = library.query(**filters)

            assert (names(page), page.total, page.next_offset) == (expected, len(expected), None)


def test_a_skill_written_for_a_family_is_of_it(store):
    revision = Revision(completion=skill_text("born"), text=skill_text("born"))
    store.runs.stage(Task("x", family="cradle"), [revision], run_id="r", group_id="r:1", generation=1, parent=None)

    assert names(store.query(family="cradle")) == ["born"]


def test_the_version_seen_is_the_live_one_else_the_newest(store):
    add(store, "adding")
    store.revise("adding", description="How to subtract", body="Otherwise.")
    add(store, "waiting", author="generator", body="First.")
    store.revise("waiting", body="Second.")

    assert names(store.query(text="subtract")) == []
    assert names(store.query(text="Second.")) == ["waiting"]
    assert [skill.version for skill in store.query()] == [1, 2]
    store.promote("adding")
    assert [(skill.version, skill.description) for skill in store.query(text="subtract")] == [(2, "How to subtract")]


def test_another_namespace_is_never_seen(library, open_store):
    tenant = open_store(namespace="tenant")
    add(tenant, "theirs")
    use(tenant, "theirs", 1.0, family="hard")

    assert names(tenant.query()) == ["theirs"]
    assert names(library.query(family="hard")) == ["poor"]


@pytest.mark.parametrize("text", ["%", "_", "100%", "snake_case", "/", "\\", "'", '"; DROP TABLE x', "a%b"])
def test_wildcards_are_letters(store, text):
    add(store, "plain", body="1000 snakeXcase aXXb")
    add(store, "odd", body=f"So: {text} :so")

    assert names(store.query(text=text, status="live")) == ["odd"]


ORDERED_BY = ("name", "utility", "uses", "wins", "created_at")


def test_pages_show_every_skill_once(library, subtests):
    for limit, order_by, descending in product([1, 4, 6], ORDERED_BY, [False, True]):
        with subtests.test(limit=limit, order_by=order_by, descending=descending):
            seen, offset, pages = [], 0, 0
            while offset is not None:
                page = library.query(order_by=order_by, descending=descending, limit=limit, offset=offset)
                assert (page.total, page.offset) == (6, offset)
                assert 1 <= len(page) <= limit
                seen += names(page)
                offset, pages = page.next_offset, pages + 1

            assert seen == names(library.query(order_by=order_by, descending=descending))
            assert len(set(seen)) == 6
            assert pages == -(-6 // limit)


def test_beyond_the_end_is_an_empty_page(library):
    page = library.query(offset=6)

    assert (names(page), page.total, page.next_offset) == ([], 6, None)


ORDERS = [
    ("name", False, ["good", "poor", "resting", "suspect", "unused", "waiting"]),
    ("name", True, ["waiting", "unused", "suspect", "resting", "poor", "good"]),
    ("utility", False, ["poor", "good", "resting", "suspect", "unused", "waiting"]),
    ("utility", True, ["good", "poor", "resting", "suspect", "unused", "waiting"]),
    ("uses", True, ["good", "poor", "resting", "suspect", "unused", "waiting"]),
    ("wins", False, ["poor", "resting", "suspect", "unused", "waiting", "good"]),
    ("created_at", False, ["good", "poor", "unused", "resting", "suspect", "waiting"]),
]


def test_order_and_what_has_no_utility_comes_last(library, subtests):
    for order_by, descending, expected in ORDERS:
        with subtests.test(order_by=order_by):
            assert names(library.query(order_by=order_by, descending=descending)) == expected


def test_times_are_compared_as_moments_in_any_zone(store):
    before = datetime.now(UTC)
    add(store, "adding")
    after = datetime.now(UTC)
    for zone in (UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-9))):
        early, late = before.astimezone(zone), after.astimezone(zone)
        assert names(store.query(since=early, until=late)) == ["adding"]
        assert names(store.query(since=early.isoformat(), until=late.isoformat())) == ["adding"]
        assert names(store.query(since=late)) == names(store.query(until=early)) == []
    assert names(store.query(since=before.replace(tzinfo=None), until=after.replace(tzinfo=None))) == ["adding"]
    assert names(store.query(since=f"{before:%Y-%m-%d}")) == ["adding"]
    assert names(store.query(until=f"{before:%Y-%m-%d}")) == []


def test_since_counts_its_moment_and_until_does_not(store):
    moment = add(store, "adding").created_at - timedelta(days=1)
    with store.database.write() as session:
        session.exec(update(SkillRow).values(created_at=moment))

    assert names(store.query(since=moment)) == ["adding"]
    assert names(store.query(until=moment)) == []


WRONG = [
    ({"status": "dead"}, "'dead' is not a status; use one of staged, live, retired, quarantined"),
    ({"status": ["live"]}, "is not a status"),
    ({"author": "me"}, "'me' is not an author; use one of human, generator, import"),
    ({"order_by": "price"}, "cannot order by 'price'; use one of name, utility"),
    ({"order_by": "name; DROP TABLE skillp_skill"}, "cannot order by"),
    ({"order_by": "id"}, "cannot order by"),
    ({"limit": 0}, "1 to 1000"),
    ({"limit": 1001}, "1 to 1000"),
    ({"limit": "5"}, "1 to 1000"),
    ({"limit": 2.5}, "1 to 1000"),
    ({"limit": True}, "1 to 1000"),
    ({"offset": -1}, "from offset 0"),
    ({"offset": None}, "from offset 0"),
    ({"offset": 10**30}, "from offset 0"),
    ({"utility": 0.5}, "utility is 0.5; give numbers"),
    ({"utility": [0, 1]}, "give numbers"),
    ({"utility": (0,)}, "give numbers"),
    ({"utility": ("a", None)}, "give numbers"),
    ({"utility": (float("nan"), None)}, "give numbers"),
    ({"uses": (0, 1, 2)}, "uses is (0, 1, 2); give numbers"),
    ({"uses": (None, 10**30)}, "give numbers"),
    ({"pinned": "yes"}, "pinned is 'yes'; give True or False"),
    ({"family": 3}, "family is 3; give a text"),
    ({"text": 3}, "text is 3; give a text"),
    ({"text": b"add"}, "give a text"),
    ({"since": "yesterday"}, "since is 'yesterday'; give a date such as"),
    ({"since": 3}, "give a date"),
    ({"until": "2026-13-01"}, "until is '2026-13-01'"),
    ({"until": "0001-01-01T00:00:00+05:00"}, "give a date"),
]


def test_a_wrong_filter_says_so_in_one_line(library, subtests):
    for filters, says in WRONG:
        with subtests.test(filters=filters):
            with pytest.raises(ConfigurationError) as caught:
                library.query(**filters)
            assert says in str(caught.value)
            assert "\n" not in str(caught.value)


def test_an_empty_library_has_an_empty_page(home):
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        page = store.query(order_by="utility", descending=True)

    assert (list(page), len(page), page.total, page.next_offset) == ([], 0, 0, None)


def test_text_is_found_whatever_its_case(store):
    add(store, "plain", description="Über den ÉTAT der Straße")

    for text in ("über", "ÜBER", "état", "STRAßE"):
        assert [skill.name for skill in store.query(text=text)] == ["plain"]


def test_in_how_many_runs_a_model_saw_the_skill(store, skill):
    def ran(run_id, seen, *, version=1, generations=1):
        rollouts = [
            Rollout(generation=g, answer="", skill=f"{skill.id}@{version}", seen=seen, reward=0.0, passed=False)
            for g in range(generations)
        ]
        store.runs.record(Task(f"add {run_id}"), rollouts, run_id=run_id)

    assert store.runs.sightings("adding").sentence == "shown in no run"
    ran("a", None)
    assert store.runs.sightings("adding").sentence == "not known whether a model saw it: no call was watched"
    ran("b", True, generations=3)
    ran("c", False)
    assert store.runs.sightings("adding").sentence == "seen by a model in 1 of 2 watched runs, of 3"
    store.revise_text("adding", MACHINE)
    ran("d", True, version=2)
    found = store.runs.sightings("adding@2")
    assert (found.runs, found.watched, found.seen) == (1, 1, 1)
    assert found.sentence == "seen by a model in 1 of 1 runs"
