"""What a store keeps of secrets: nothing in clear, nothing for other users, and nothing that was forgotten."""

import json
import logging
import os
import stat
from datetime import timedelta

import pytest
from sqlmodel import select

from fakes import TopicEmbedder, loop, skill_text
from skill_plugin import Revision, Rollout, Task
from skill_plugin.errors import ConfigurationError, RunNotFoundError, StoreUnavailableError
from skill_plugin.settings import Settings
from skill_plugin.store import FunctionCall, SkillStore, calls_of, record_calls
from skill_plugin.store.dumps.dump import dump
from skill_plugin.store.items.items import Change
from skill_plugin.store.runs.calls import CallRow
from skill_plugin.store.tables import RolloutRow, utc_now

KEY = "AKIAQWERTYUIOPASDFGH"
PASSWORD = "hunter2-Zebra"
TEXT = "the customer is Ébène Quaxlor"

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")


def bytes_of(home):
    return {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def holding(home, *words):
    """The files of a home in which one of the words stands, as it is or as JSON writes it."""
    wanted = [form.encode() for word in words for form in (word, json.dumps(word)[1:-1])]
    return sorted(name for name, content in bytes_of(home).items() if any(one in content for one in wanted))


def fill(store, said, run_id="run"):
    """Says something everywhere."""
    task = Task(f"add 2 and 2: {said}", reference={"answer": [said]})
    rollout = Rollout(generation=0, answer=f"4 {said}", reward=0.5, feedback=f"no: {said}", error=f"E {said}")
    store.runs.record(task, [rollout], run_id=run_id)
    store.record_outcome(run_id, 0.5, f"late: {said}")
    written = [
        Revision(
            completion=f"I write {said}\n{skill_text('summing', body=f'Say {said}.')}",
            text=skill_text("summing", body=f"Say {said}."),
            prompt=({"role": "user", "content": said},),
            prompt_token_ids=(1, 2),
            completion_token_ids=(3, 4),
            logprobs=(-0.1, -0.2),
        ),
        Revision(completion=f"malformed {said}", error=f"no front matter: {said}"),
    ]
    store.runs.stage(task, written, run_id=run_id, group_id=f"g-{run_id}", generation=1, parent=None)
    call = FunctionCall(
        skill="summing@1", function="add", ok=False, error=f"no: {said}", arguments=json.dumps({"of": [said]})
    )
    record_calls(store, run_id, [call], first=0)
    store.retire("summing", reason=f"because {said}")
    store.items.write([Change(("memories",), "one", {"text": said}, [said])])


def closed(open_store, home, **options):
    store = open_store(home, **options)
    fill(store, f"{KEY} and password: {PASSWORD}")
    store.close()


def test_secrets_are_redacted_wherever_they_are_written(open_store, home, tmp_path):
    store = open_store(chroma=None)
    fill(store, f"{KEY} and password: {PASSWORD}")
    assert store.wait_for_index()
    dump(store.database, tmp_path / "dump.gz")

    assert store.runs.rollouts("run")[0].answer == "4 [redacted:key] and password: [redacted:password]"
    assert "[redacted:key]" in store.get("summing").text
    assert store.runs.staged("g-run")[0].revision.completion_token_ids is None
    assert [check.name for check in store.check() if not check.ok] == []
    fill(store, f"{KEY} and password: {PASSWORD}")  # again is once
    assert len(store.runs.rollouts("run")) == 1
    store.close()
    assert holding(home, KEY, PASSWORD) == []


def test_redaction_can_be_off_and_can_know_patterns_of_ones_own(open_store, home, tmp_path):
    closed(open_store, home / "off", redact=False, scanners=[])
    closed(open_store, home / "own", redact=False, scanners=[], redact_patterns={"zebra": "(?i)[a-z0-9]+-zebra"})

    assert holding(home / "off", KEY)
    assert holding(home / "own", PASSWORD) == []
    home.joinpath("settings.toml").write_text('redact = "all"\n[redact_patterns]\nbadge = "B-[0-9]{4}"\n')
    with SkillStore.from_settings(Settings.load(embedder="hashing"), index=False) as store:
        fill(store, "anna@example.com has B-1234")
        assert store.runs.rollouts("run")[0].answer == "4 [redacted:email] has [redacted:badge]"


def test_a_whole_run_with_a_secret_in_its_task_goes_on(store):
    made = loop(store, max_generations=1).compile().invoke({"task": f"add 2 and 2 with {KEY}", "reference": "4"})

    assert made["run_id"]
    rollout = store.runs.rollouts(made["run_id"])[0]
    assert KEY not in rollout.answer


def test_a_history_with_secrets_is_taken_in_once(store, tmp_path):
    file = tmp_path / "runs.jsonl"
    file.write_text(json.dumps({"input": "add", "output": f"4 {KEY}", "reward": 1.0, "id": "one"}))

    first, second = store.histories.import_from(file), store.histories.import_from(file)
    assert (first.imported, second.imported, second.already_there) == (1, 0, 1)


def test_a_run_is_forgotten_with_all_that_it_said(open_store, home):
    store = open_store(chroma=None, redact=False)
    fill(store, TEXT)
    fill(store, "nothing special", run_id="other")

    counts = store.runs.forget(run="run")
    assert counts["skillp_rollout"] == counts["skillp_outcome"] == counts["skillp_task"] == 1
    assert counts["skillp_revision"] == 2
    assert store.runs.rollouts("run") == []
    assert len(store.runs.rollouts("other")) == 1
    with pytest.raises(RunNotFoundError, match="there is nothing of 'run'"):
        store.runs.forget(run="run")


def test_a_text_is_forgotten_wherever_it_stands_and_the_rest_stays(open_store, home):
    store = open_store(chroma=None, redact=False)
    fill(store, TEXT)
    assert store.wait_for_index()
    assert "skills.db" in holding(home, TEXT) or "skills.db-wal" in holding(home, TEXT)

    counts = store.runs.forget(text=TEXT)
    assert min(
        counts[f"skillp_{name}"]
        for name in ("task", "rollout", "outcome", "revision", "event", "item", "skill_version", "call")
    )
    assert holding(home, TEXT, "Quaxlor") == []
    assert store.runs.rollouts("run")[0].answer == "4 [forgotten]"
    assert store.runs.rollouts("run")[0].reward == 0.5
    assert "Say [forgotten]." in store.get("summing").text
    assert [check for check in store.check() if not check.ok] == []
    with store.items.reading() as reading:
        assert reading.get(("memories",), "one").value == {"text": "[forgotten]"}
    assert store.runs.forget(text=TEXT) == {}


def test_a_source_is_forgotten_by_its_name_or_the_beginning_of_whole_words(store):
    for source in ("bot/1", "bot/2", "bot2/1", None):
        rollout = Rollout(generation=0, answer="4", reward=1.0, source=source)
        store.runs.record(Task(f"add {source}"), [rollout], run_id=f"run of {source}")

    assert store.runs.forget(source="bot/1")["skillp_rollout"] == 1
    assert store.runs.forget(source="bot")["skillp_rollout"] == 1
    assert store.runs.rollouts("run of bot2/1")
    assert store.runs.rollouts("run of None")
    with pytest.raises(RunNotFoundError):
        store.runs.forget(source="bot")


@pytest.mark.parametrize("given", [{}, {"run": "a", "text": "bcde"}, {"text": "a"}, {"older_than": -1}])
def test_what_to_forget_must_be_said_once(store, given):
    with pytest.raises(ConfigurationError) as caught:
        store.runs.forget(**given)
    assert "\n" not in str(caught.value)


def test_texts_of_old_runs_are_emptied_after_the_days_that_are_set(open_store, home):
    with SkillStore.from_settings(Settings.load(embedder="hashing"), index=False) as store:
        fill(store, "old words")
        fill(store, "new words", run_id="new")
        with store.database.write() as session:
            row = session.exec(select(RolloutRow).where(RolloutRow.run_id == "run")).one()
            row.created_at = utc_now() - timedelta(days=31)
            session.add(row)
            call = session.exec(select(CallRow).where(CallRow.run_id == "run")).one()
            call.at = row.created_at
            session.add(call)
    settings = Settings.load(embedder="hashing", retention_days=30)
    with SkillStore.from_settings(settings, index=False) as store:
        old, new = store.runs.rollouts("run")[0], store.runs.rollouts("new")[0]
        arguments = [calls_of(store, run_id)[0].arguments for run_id in ("run", "new")]

    assert (old.answer, old.feedback, old.error, old.reward) == ("", "", None, 0.5)
    assert (new.answer, new.feedback) == ("4 new words", "no: new words")
    assert arguments == ["", '{"of": ["new words"]}']


@posix
def test_a_home_is_for_its_owner_alone_whatever_the_umask(open_store, home):
    before = os.umask(0)
    try:
        store = open_store(chroma=None)
        store.add_text(skill_text())
        assert store.wait_for_index()
        dump(store.database, home / "dump.gz")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [home, *home.rglob("*")]}
    finally:
        os.umask(before)

    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


@posix
def test_a_home_that_was_open_is_closed_with_a_line_in_the_log_unless_it_is_shared_on_purpose(open_store, home, caplog):
    open_store().close()
    home.chmod(0o755)
    (home / "skills.db").chmod(0o644)
    with caplog.at_level(logging.INFO):
        open_store().close()
    assert caplog.text.count("is now for its owner alone") == 2
    assert (stat.S_IMODE(home.stat().st_mode), stat.S_IMODE((home / "skills.db").stat().st_mode)) == (0o700, 0o600)

    home.chmod(0o2770)
    (home / "skills.db").chmod(0o660)
    open_store().close()
    assert stat.S_IMODE((home / "skills.db").stat().st_mode) == 0o660


def test_a_mistyped_url_is_not_repeated_with_its_password(cli, home):
    for url in (
        "postgres//u:SECRET@h/d",
        "postgresql:/u:SECRET@h/d",
        "mysql://u:SECRET@h/d",
        "postgresql://u:SECRET@h:port/d",
    ):
        said = cli("skills", "list", "--database", url, code=1)
        assert "SECRET" not in said, said
        assert len(said.splitlines()) == 1
    with pytest.raises(StoreUnavailableError) as caught:
        SkillStore.open("postgresql://u:SECRET@127.0.0.1:1/d?password=SECRET", embedder=TopicEmbedder())
    assert "SECRET" not in str(caught.value)


def test_forget_on_the_command_line(cli, hashing, home):
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        fill(store, TEXT)
    assert "forgot" in cli("forget", "--text", TEXT)
    assert holding(home, TEXT) == []
    assert json.loads(cli("forget", "--run", "run", "--json"))["skillp_rollout"] == 1
    assert "nothing of 'run'" in cli("forget", "--run", "run", code=1)
    assert "name one thing to forget" in cli("forget", code=1)
