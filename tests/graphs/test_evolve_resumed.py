"""Evolve goes on: after an end, a stop, a kill, a full disk, a model that was gone; and beside another evolve."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from evolving import ABACUS, SMALL, Writer, adding, run
from fakes import MACHINE, FingersAdder, ScriptedChat
from skill_plugin.budget import Budget
from skill_plugin.errors import BusyError, ModelError
from skill_plugin.graphs import EvolveSettings


def test_a_run_that_is_finished_costs_nothing_again(store):
    llm, writer = FingersAdder(), Writer(ABACUS, MACHINE)
    tasks = [*adding(1, 2), *adding(11, split="heldout")]
    first = run(store, tasks, llm=llm, writer=writer)
    calls, asked = len(llm.seen), len(writer.seen)
    again = run(store, tasks, llm=llm, writer=writer)

    assert (len(llm.seen), len(writer.seen)) == (calls, asked)
    told = ("run_id", "generations", "solved_before", "solved_after", "candidates", "accepted")
    assert [again.to_json()[key] for key in told] == [first.to_json()[key] for key in told]


def test_more_generations_go_on_with_the_same_run_and_new_begins_another(store):
    writer = Writer(ABACUS)
    first = run(store, adding(1), writer=writer, settings=EvolveSettings(generations=1, candidates=1, rollouts=1))
    more = EvolveSettings(generations=2, candidates=1, rollouts=1)
    longer = run(store, adding(1), writer=writer, settings=more)
    another = run(store, adding(1), writer=writer, settings=more, new=True)

    assert longer.run_id == first.run_id != another.run_id
    assert sorted(longer.generations) == [0, 1]  # the second text is the first again, which is refused


def test_the_seconds_of_all_starts_are_counted(store):
    took = []
    for budget in (Budget(calls=2), None, None):
        result = run(store, adding(1, 2), budget=budget)
        assert result.seconds_before == pytest.approx(sum(took), abs=0.002)  # each is kept to the thousandth
        took.append(store.runs.evolve.list()[0].progress["spent"]["seconds"])

    assert min(took) > 0


def test_a_model_that_is_gone_stops_the_run_and_the_same_call_goes_on(store):
    def answer(messages):
        if len(answered) >= 9 and not back:
            raise ConnectionError("gone")
        answered.append(1)
        return FingersAdder._add(messages)

    answered, back = [], []
    settings = replace(SMALL, concurrency=2)
    with pytest.raises(
        ModelError,
        match=r"evolve stopped: 4 calls of the task LLM failed in a row, the last with ConnectionError: gone",
    ):
        run(store, adding(*range(6)), llm=ScriptedChat(answer), settings=settings)
    assert store.runs.evolve.list()[0].outcome.startswith("4 calls of the task LLM failed")
    back.append(1)
    result = run(store, adding(*range(6)), llm=ScriptedChat(answer), settings=settings)

    assert (result.outcome, result.solved_by_text, result.recorded_before, len(answered)) == ("finished", 6, 9, 36)


def test_one_call_that_fails_costs_its_own_rollout_only(store):
    def answer(messages):
        calls.append(1)
        if len(calls) == 1:
            raise TimeoutError("slow")
        return FingersAdder._add(messages)

    calls = []
    result = run(store, adding(1), llm=ScriptedChat(answer))

    assert (result.outcome, result.solved_by_text, result.generations[0].rollouts) == ("finished", 1, 1)


DRIVER = """
import os, sys, time
from evolving import Writer, adding, run, ABACUS
from fakes import MACHINE
from skill_plugin.graphs import EvolveSettings
from skill_plugin.store import SkillStore
from fakes import MACHINE, TopicEmbedder, FingersAdder, ScriptedChat

log = os.open(sys.argv[2], os.O_APPEND | os.O_CREAT | os.O_WRONLY)

def answer(messages):
    time.sleep(0.005)
    os.write(log, b"call\\n")
    return FingersAdder._add(messages)

settings = EvolveSettings(generations=3, candidates=2, rollouts=2, concurrency=4, adaptive=False, minibatch=1)
with SkillStore.open(sys.argv[1], embedder=TopicEmbedder(), chroma=False) as store:
    result = run(store, [*adding(*range(12)), *adding(30, 31, split="heldout")], llm=ScriptedChat(answer),
                 writer=Writer(ABACUS, MACHINE), settings=settings)
    print(result.outcome, result.solved_after)
"""


def test_after_a_kill_nothing_that_was_recorded_is_run_again(open_store, home, tmp_path):
    log = tmp_path / "calls"
    log.touch()
    command = [sys.executable, "-c", DRIVER, str(home), str(log)]
    environment = {"PYTHONPATH": ":".join([str(Path(__file__).parents[1]), *sys.path])}
    kills = 0
    for wanted in (10, 40, 70):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None and len(log.read_text().splitlines()) < wanted:
            pass
        process.kill()
        kills += process.wait() != 0
    end = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    assert (end.stdout, end.stderr) == ("finished 12\n", "")
    store = open_store()
    [one] = store.runs.evolve.list()
    recorded = one.progress["spent"]["task"]["calls"]
    assert kills
    # What was in the air, or not yet committed, when it was killed: of each lineage at most one generation, for everything
    # is committed before the next is written; and what the gate had run.
    assert recorded <= len(log.read_text().splitlines()) <= recorded + kills * 4 * (4 + 2)


FULL_DISK = """
import os, resource, signal, sys
from evolving import adding, run
from skill_plugin.budget import Budget
from skill_plugin.errors import StoreUnavailableError
from skill_plugin.store import SkillStore
from fakes import MACHINE, TopicEmbedder

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with SkillStore.open(sys.argv[1], embedder=TopicEmbedder(), chroma=False) as store:
    largest = max(file.stat().st_size for file in os.scandir(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 900_000, resource.RLIM_INFINITY))
    try:
        run(store, adding(*range(100)))
    except StoreUnavailableError as exc:
        print(str(exc).rpartition(";")[0])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    result = run(store, adding(*range(100)))
    print(result.outcome, result.solved_by_text, 0 < result.recorded_before < 200)
"""


def test_a_disk_that_is_full_ends_the_run_and_the_same_call_goes_on(home):
    environment = {"PYTHONPATH": ":".join([str(Path(__file__).parents[1]), *sys.path])}
    command = [sys.executable, "-c", FULL_DISK, str(home)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120).stdout.splitlines()

    assert said[0].startswith("the database sqlite:")
    assert said[0].endswith("cannot be used: disk I/O error")
    assert said[1] == "finished 100 True"


@pytest.mark.both_backends
def test_two_runs_on_one_store_wait_for_each_other_or_refuse_by_choice(store):
    entered, leave, results = threading.Event(), threading.Event(), []

    def slow(messages):
        entered.set()
        assert leave.wait(60)
        return FingersAdder._add(messages)

    first = threading.Thread(target=lambda: results.append(run(store, adding(1), llm=ScriptedChat(slow))))
    first.start()
    assert entered.wait(60)
    with pytest.raises(BusyError, match="another evolve is running on namespace 'default'"):
        run(store, adding(2))
    second = threading.Thread(target=lambda: results.append(run(store, adding(2), wait=True)))
    second.start()
    leave.set()
    first.join(60)
    second.join(60)

    assert [result.outcome for result in results] == ["finished", "finished"]
