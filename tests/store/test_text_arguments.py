"""Whatever a string argument holds, it is data: never SQL, never a filter, never more than one line of an error."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from fakes import skill_text
from skill_plugin import Revision, Rollout, Task
from skill_plugin.errors import SkillPluginError

pytestmark = pytest.mark.both_backends

MARK = "Bobby77"

HOSTILE = [
    f"{MARK}'; DROP TABLE skillp_skill; --",
    f'{MARK}" OR "1"="1',
    f"{MARK}' UNION SELECT name, signature FROM skillp_namespace --",
    f"{MARK}%",
    f"_{MARK}_",
    f"{MARK}\x00tail",
    f"{MARK}\ud800",
    f"{MARK}\r\n\r\nline",
    f"{MARK}:name %(name)s ? $1 {{}}",
    f"{MARK}" + "x" * 10_000,
    f"{MARK}\u202e\u200b\U0001f600",
    f"{MARK}@2",
    f"{MARK} NEAR/3 AND NOT *",
    f"../../{MARK}",
]


def rollout(text, ref=None):
    return Rollout(generation=0, answer=text, skill=ref, reward=1.0, passed=True, feedback=text, model=text, error=text)


def revision(text):
    return Revision(completion=text, prompt=({"role": "user", "content": text},), error=text, model=text)


CALLS = {
    "add": lambda store, text: store.add(name="new-skill", description=text[:900], body=text),
    "add name": lambda store, text: store.add(name=text, description="d", body="b"),
    "add_text": lambda store, text: store.add_text(text),
    "revise": lambda store, text: store.revise("adding", body=text),
    "revise name": lambda store, text: store.revise(text, body="b"),
    "get": lambda store, text: store.get(text),
    "list": lambda store, text: store.list(text),
    "search": lambda store, text: store.search(text),
    "search family": lambda store, text: store.search("add", strategy="same-family", family=text),
    "search strategy": lambda store, text: store.search("add", strategy=text),
    "query text": lambda store, text: store.query(text=text),
    "query family": lambda store, text: store.query(family=text),
    "query author": lambda store, text: store.query(author=text),
    "query order": lambda store, text: store.query(order_by=text),
    "query since": lambda store, text: store.query(since=text),
    "promote": lambda store, text: store.promote(text),
    "rollback": lambda store, text: store.rollback("adding", 1, reason=text),
    "retire": lambda store, text: (store.retire("adding", reason=text), store.restore("adding", reason=text)),
    "history": lambda store, text: store.history(text),
    "lift": lambda store, text: store.lift(text),
    "record": lambda store, text: store.runs.record(
        Task(text, family=text, reference=text), [rollout(text, store.get("adding").ref)], run_id=text, thread_id=text
    ),
    "run": lambda store, text: store.runs.rollouts(text),
    "outcome": lambda store, text: store.record_outcome(text, 1.0, text),
    "stage": lambda store, text: store.runs.stage(
        Task(text), [revision(text)], run_id=text, group_id=text, generation=1, parent=None
    ),
    "staged": lambda store, text: store.runs.staged(text),
    "import": lambda store, text: store.import_skills(text[:200].replace("\x00", "").replace("\ud800", "")),
}


@pytest.fixture
def statements(store):
    """The SQL that was sent, without its parameters."""
    sent = []

    @event.listens_for(store.database.engine, "before_cursor_execute")
    def note(*arguments):
        sent.append(arguments[2])

    return sent


def refusal(call):
    """The error's message; None if there was none."""
    try:
        call()
    except SkillPluginError as exc:
        return str(exc)


@pytest.mark.parametrize("call", CALLS)
def test_hostile_text_is_stored_or_refused_in_one_line(store, statements, call):
    store.add_text(skill_text())
    refused = [message for text in HOSTILE if (message := refusal(lambda text=text: CALLS[call](store, text)))]

    assert [message for message in refused if "\n" in message or len(message) > 1500] == []
    assert not [statement for statement in statements if MARK in statement]
    assert store.get("adding").status == "live"
    assert [hit.name for hit in store.search("add")][:1] == ["adding"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(), min_size=1, max_size=60))
def test_any_text_of_a_run_is_kept(store, text):
    if store.query().total == 0:
        store.add_text(skill_text())
    run = text + "!"
    store.runs.record(Task(text + "?", family=text + "."), [rollout(text)], run_id=run)

    kept = store.runs.rollouts(run)[-1]
    unstorable = {0, *range(0xD800, 0xE000)}
    assert kept.answer == "".join("\ufffd" if ord(char) in unstorable else char for char in text)
    assert store.query(family=text + ".").total == 0


def test_wildcards_are_letters(store):
    store.add(name="percent", description="How to add 50% to a_b", body="x")
    store.add(name="plain", description="How to add 500 to acb", body="x")

    assert [skill.name for skill in store.query(text="0%")] == ["percent"]
    assert [skill.name for skill in store.query(text="a_b")] == ["percent"]
