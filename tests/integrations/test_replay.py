"""Replay: recorded failures through a capped evolve, and what is said of them."""

import json
from html.parser import HTMLParser

import pytest
from langchain_core.messages import SystemMessage
from langchain_core.runnables import RunnableLambda

from evolving import Writer
from fakes import MACHINE, FingersAdder, ScriptedChat, skill_text
from recorded import write
from skill_plugin import generators, verifiers
from skill_plugin.errors import ConfigurationError, InvalidHistoryError, ModelError
from skill_plugin.integrations.replay import job
from skill_plugin.integrations.replay.page import page
from skill_plugin.integrations.replay.traces import Traces, draw
from skill_plugin.records import Task


def failed(number, family="adding", **fields):
    """A recorded sum that is one short."""
    row = {"task": f"add {number} and 2", "reference": str(number + 2), "family": family, "output": str(number + 1)}
    return {**row, "reward": 0.0, **fields}


def passed(number, **fields):
    return failed(number, **{"output": str(number + 2), "reward": 1.0, **fields})


@pytest.fixture
def traces(tmp_path):
    return lambda rows: Traces.read(write(tmp_path / "traces.jsonl", rows))


@pytest.fixture
def replayed(store, traces):
    def run(rows, *, writer=None, llm=None, **options):
        settings = job.ReplaySettings(**{"concurrency": 2, **options.pop("limits", {})})
        writer = writer or generators.chat(ScriptedChat(lambda _: MACHINE))
        return job.replay(
            traces(rows), store=store, llm=llm or FingersAdder(), generator=writer, settings=settings, **options
        )

    return run


def test_failures_that_a_skill_solves_and_the_proof_of_it(replayed, store):
    report = replayed([*map(failed, range(1, 9)), *map(passed, range(20, 24))])

    assert report.headline == "8 of 8 failures would have been solved"
    assert "never been shown to the writer" in report.proof
    assert {one.outcome for one in report.failures} == {"solved"}
    heldout = [one for one in report.failures if one.heldout]
    assert len(heldout) >= 2
    assert all(one.unseen for one in heldout)
    assert any(not one.unseen for one in report.failures)  # it was written from one of them
    assert all((one.before.passed, one.after.passed) == (0, one.after.trials) for one in report.failures)
    [skill] = report.skills
    assert (skill.text, skill.accepted, skill.solved) == (MACHINE, True, 8)
    assert (skill.decision.repairs > 0, skill.decision.regressions, skill.reason) == (
        True,
        0,
        store.history(skill.name)[-1].reason,
    )
    assert report.stopped is None


def test_what_passes_without_a_skill_is_not_a_skills_doing(replayed):
    report = replayed(
        [*map(failed, range(1, 5))], llm=ScriptedChat(lambda seen: str(int(seen[-1].text.split()[1]) + 2))
    )

    assert report.headline == "0 of 4 failures would have been solved"
    assert {one.outcome for one in report.failures} == {"passes anyway"}
    assert (report.price.texts, report.skills) == (0, [])
    assert any("4 failures passed this time without any skill" in said for said in report.caveats)


def test_a_text_that_solves_its_own_task_alone_is_told_and_not_counted(replayed):
    report = replayed([failed(1)])

    assert (report.headline, report.proof) == ("0 of 1 failure would have been solved", "")
    [one] = report.failures
    assert (one.outcome, one.unseen, one.after.passed) == ("same task only", False, one.after.trials)
    assert report.skills[0].accepted is False
    assert any("No task was held out" in said for said in report.caveats)
    assert "Skills that would be live</h2><p>None" in page(report)


def test_what_no_text_solves_stays_unsolved(replayed):
    report = replayed([*map(failed, range(1, 5))], writer=Writer(skill_text(body="Use an abacus.")))

    assert {one.outcome for one in report.failures} == {"unsolved"}
    assert report.stopped is None
    assert "Stayed unsolved: 4" in page(report)


def test_a_skill_that_breaks_what_worked_is_refused_by_the_successes(replayed):
    def answer(messages):  # right for small numbers without the machine, for large ones with it; wrong otherwise
        number, machine = int(messages[-1].text.split()[1]), "machine" in messages[0].text
        return str(number + 2 - (machine == (number < 100)))

    rows = [*map(passed, range(1, 9)), failed(150), failed(160)]
    report = replayed(rows, llm=ScriptedChat(answer))

    assert report.having("solved") == []
    assert report.guards == 2
    assert report.skills[0].accepted is False
    assert "regressed" in report.skills[0].reason


# The cap


class Steps:
    """An agent of three calls of a model for each answer."""

    def __init__(self):
        self.chat = FingersAdder()
        self.agent = RunnableLambda(self._answer)

    def _answer(self, given):
        prompt = [SystemMessage(given["guidance"] or "none"), given["messages"][-1]]
        return [self.chat.invoke(prompt) for _ in range(3)][-1]


@pytest.mark.parametrize("cap", [1, 2, 7, 25, 60])
def test_the_cap_holds_for_every_model_call_whoever_makes_it(replayed, cap, caplog):
    steps, writer = Steps(), ScriptedChat(lambda _: MACHINE)
    rows = [*map(failed, range(1, 20)), *map(passed, range(30, 33))]
    report = replayed(rows, llm=steps.agent, writer=generators.chat(writer), limits={"max_calls": cap})

    made = len(steps.chat.seen) + len(writer.seen)
    assert made <= cap
    assert report.price.calls == made
    assert (report.stopped is not None) == bool(report.having("not tried"))
    for one in report.having("not tried"):
        assert "cap" in one.reason
    assert caplog.text == ""


def test_a_cap_that_is_reached_is_said_with_what_was_not_tried(replayed):
    report = replayed([*map(failed, range(1, 20))], limits={"max_calls": 9}, llm=Steps().agent)

    assert "of 9 model calls" in report.stopped
    untried = len(report.having("not tried"))
    assert untried > 0
    assert f"{untried} failure" in next(said for said in report.caveats if "could not be tried" in said)
    assert any("18 more failures had to be left out" in said for said in report.caveats)
    assert "Not tried to the end" in page(report)


def test_calls_of_a_judge_count_whether_it_is_a_model_or_a_function_that_asks_one(replayed):
    chat = ScriptedChat(lambda seen: "SCORE: 1" if "\n3\n" in seen[-1].text else "SCORE: 0")

    def asks(task, answer):
        return "1" in chat.invoke(f"\n{answer}\n").text

    async def awaits(task, answer):
        return "1" in (await chat.ainvoke(f"\n{answer}\n")).text

    for judge in (verifiers.llm_judge(chat), asks, awaits):
        before = len(chat.seen)
        report = replayed([failed(1, reference=None)], verifier=judge, limits={"max_calls": 12})
        assert report.price.judge_calls == len(chat.seen) - before > 0
        assert report.price.calls <= 12


def test_judging_what_was_recorded_takes_a_quarter_of_the_cap_at_most(replayed):
    chat = ScriptedChat(lambda _: "SCORE: 0")
    report = replayed(
        [failed(n, reward=None) for n in range(1, 12)], verifier=verifiers.llm_judge(chat), limits={"max_calls": 16}
    )

    assert (report.source["runs judged now"], report.source["failures"]) == (4, 4)
    assert report.price.calls <= 16
    assert any("7 of the 11 runs have no reward" in said for said in report.caveats)


def test_a_model_that_langchain_does_not_call_counts_once_a_run(replayed):
    report = replayed(
        [*map(failed, range(1, 5))], llm=lambda given: given["task"], writer=Writer(MACHINE), limits={"max_calls": 10}
    )

    assert report.price.calls == report.price.runs + report.price.texts <= 10
    assert any("not called through LangChain" in said for said in report.caveats)


def test_a_model_that_is_not_there_is_one_line(replayed):
    def gone(given):
        raise ConnectionError("refused")

    with pytest.raises(
        ModelError, match=r"the replay stopped: 3 calls of the task LLM failed in a row.*check the model"
    ):
        replayed([*map(failed, range(1, 9))], llm=RunnableLambda(gone))


# The traces


def test_what_has_no_reward_is_judged_by_its_last_words(replayed, traces):
    rows = [
        {"messages": [{"role": "user", "content": f"add {n} and 2"}, {"role": "assistant", "content": said}], "reference": right}
        for n, said, right in ((1, "It is 2.", "3"), (2, "It is 4.", "4"), (5, "6", "7"))
    ]  # fmt: skip
    with pytest.raises(InvalidHistoryError, match=r"none of the 3 runs .* has a reward, so nothing says which failed"):
        replayed(rows)
    report = replayed(rows, verifier=verifiers.numeric())

    assert (report.source["runs judged now"], report.source["failures"]) == (3, 2)


async def test_a_task_that_is_held_out_everywhere_is_held_out_here(traces):
    rows = [failed(n) for n in range(1, 30)]
    drawn = await draw(traces(rows), None, 10_000)
    everywhere = {n for n in range(1, 30) if Task(f"add {n} and 2", family="adding").split == "heldout"}

    assert everywhere <= {int(one.task.input.split()[1]) for one in drawn.heldout}
    assert len(drawn.heldout) >= len(rows) * 0.25 - 1
    assert all(one.task.split == "heldout" for one in (*drawn.heldout, *drawn.guards))
    assert all(one.task.split == "train" for one in drawn.train)


async def test_families_take_turns_where_the_cap_is_small_and_the_rest_is_counted(traces):
    rows = [*(failed(n) for n in range(1, 20)), failed(1, "other", task="sort b and a"), passed(9, task="ship it")]
    drawn = await draw(traces(rows), None, 32)

    assert len(drawn.failures) == 4
    assert {one.task.family for one in drawn.train} == {"adding", "other"}
    assert (len(drawn.left_out), len(drawn.guards)) == (16, 1)


async def test_the_verifier_of_a_reference_that_nobody_named_one_for(traces):
    rows = [
        failed(1),
        failed(2, reference="Paris", output="London"),
        failed(3, reference=["a"]),
        failed(4, reference=None),
    ]
    drawn = await draw(traces(rows), None, 200)

    assert {one.task.verifier["name"] for one in drawn.failures} == {"numeric", "normalized_text"}
    assert (len(drawn.unjudged), drawn.chosen) == (2, ["normalized_text", "numeric"])
    assert drawn.agreement == (2, 2)
    for rows, message in (
        ([failed(1, reference=None)], "nothing says how to judge a new answer to the 1 failures"),
        (
            [failed(1), passed(2, output="ok"), passed(3, output="fine")],
            "only 0 of the 2 recorded answers .* that passed",
        ),
    ):
        with pytest.raises(ConfigurationError, match=f"{message}.*--verifier llm_judge"):
            await draw(traces(rows), None, 200)


async def test_a_task_fails_if_any_of_its_runs_did(traces):
    found = traces([failed(1), passed(1), passed(2), {"task": "x"}, failed(3, reward=7)])

    assert [(one.failed, len(one.runs)) for one in found.tasks] == [(True, 2), (False, 1)]
    assert found.refused == {"row of another format": 1, "reward is not a number from 0 to 1": 1}
    with pytest.raises(InvalidHistoryError, match=r"none of the 1 judged runs .* failed"):
        await draw(traces([passed(2)]), None, 200)
    with pytest.raises(InvalidHistoryError, match=r"holds no run that can be replayed .1 refused: no text of the task"):
        traces([failed(1, task=" ")])


# The page


class Parsed(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        self.texts.append(data)


EVIL = "</pre></style><script>alert(1)</script><img src=x onerror=alert(1)>&lt;\x00\u202e<!-- \ud800"


def test_no_text_becomes_markup_and_the_page_needs_nothing_else(replayed):
    rows = [failed(n, feedback=EVIL, output=EVIL, family=EVIL, task=f"add {n} and 2 {EVIL}") for n in range(1, 5)]
    body = skill_text(body=f"Use a machine. {EVIL}".replace("\x00", "").replace("\u202e", "").replace("\ud800", ""))
    report = replayed(rows, writer=Writer(body), verifier=lambda task, answer: False)
    html = page(report)
    parsed = Parsed(html)

    assert set(parsed.tags) <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "article", "div", "pre", "table"),
        *("tr", "th", "td"),
    }
    assert set(parsed.attributes) <= {"lang", "charset", "http-equiv", "content", "name", "class", "scope"}
    assert any("<script>alert(1)</script>" in text for text in parsed.texts)
    assert not {"\x00", "\u202e", "\ud800"} & set(html)
    assert "url(" not in html
    assert "default-src 'none'" in html
    for words in (
        "prefers-color-scheme: dark",
        "@media print",
        "Price",
        "Settings",
        "Simulated models",
        "How this was measured",
    ):
        assert words in html


def test_long_texts_are_cut_and_say_so(replayed):
    report = replayed([failed(n, output="x" * 9000) for n in range(1, 3)], writer=Writer(MACHINE))

    assert "... (5000 characters more)" in page(report)


def test_the_report_is_json_and_says_what_the_page_says(replayed):
    report = replayed([*map(failed, range(1, 5))])
    told = json.loads(json.dumps(report.to_json()))

    assert told["outcomes"] == {"solved": 4, "same task only": 0, "passes anyway": 0, "unsolved": 0, "not tried": 0}
    assert told["price"]["calls"] == told["price"]["runs"] + told["price"]["texts"]
    assert told["settings"]["max_calls"] == 200
    assert told["skills"][0]["decision"]["repairs"] > 0
    assert told["caveats"][0].startswith("Simulated models took part")
