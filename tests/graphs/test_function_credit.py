"""What functions change in `evolve`: they are asked for, run where that is allowed, credited by calls that ran, and judged by what they save."""

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from ledger_skill import ALLOWED, FILES, SCRIPT, TEST, text_of
from skill_functions import needs_sandbox
from skill_plugin.credit import Credit
from skill_plugin.gates.versions import judge_version
from skill_plugin.graphs import EvolveSettings, evolve
from skill_plugin.graphs.evolution.variants import Variant
from skill_plugin.graphs.state import PinnedSkill
from skill_plugin.records import Revision, Rollout, Task
from skill_plugin.store import FunctionCall, checks_of, may_run, record_calls
from skill_plugin.store.runs.calls import errors_in, runs_that_called

SAGE = Credit.of("sage")


def variant(**facts):
    skill = PinnedSkill(ref="s@2", name="s", text=text_of(), score=None, why={})
    won = Rollout(generation=1, answer="", skill="s@2", reward=1, passed=True)
    later = {"a": [won], "b": [won]}
    return Variant(skill, 1, [won], later, **facts)


def test_the_bonus_is_for_a_call_that_ran_and_not_for_a_name_in_a_text():
    assert variant(called={"a": True, "b": False}).worth(SAGE) == 1.5
    assert variant(called={"a": False, "b": False}).worth(SAGE) == 1
    assert variant().worth(SAGE) == 1
    later = variant(called={"a": True, "b": False}).evidence(Task("x"), SAGE, variant(), {})["later"]
    assert [one["used"] for one in later] == [1, 0]


def test_calls_are_told_apart_by_version_and_by_how_they_ended(store):
    skill = store.add_text(text_of(), files=FILES)
    calls = [
        FunctionCall(skill=skill.ref, function="f", ok=ok, error="" if ok else "no") for ok in (False, False, True)
    ]
    record_calls(store, "one", calls)
    record_calls(store, "two", calls[:1])

    assert runs_that_called(store, skill.ref) == {"one"}
    assert runs_that_called(store, f"{skill.id}@9") == frozenset()
    assert errors_in(store, "one") == {skill.ref: ("the function f failed: no",)}


@pytest.mark.parametrize(
    ("before", "after", "saved", "promoted"),
    [
        ([1, 1, 1], [1, 1, 1], 0.3, True),
        ([1, 1, 1], [1, 1, 1], 0.2, False),
        ([1, 1, 0], [1, 0, 1], 0.9, False),
        ([1, 1], [1, 1], 0.9, False),
    ],
    ids=["saves", "saves too little", "regresses", "too few"],
)
def test_functions_go_live_for_what_they_save_where_nothing_regresses(before, after, saved, promoted):
    decision = judge_version(before, after, found=0, of_kind=0, saved=saved)

    assert decision.promote is promoted
    assert ("its functions save 30% of the tokens" in decision.reason) is promoted


class Model(BaseChatModel):
    """Says nothing, and counts a token for each character that it reads."""

    @property
    def _llm_type(self):
        return "scripted"

    def _generate(self, messages, stop=None, run_manager=None, **_):
        size = sum(len(str(one.content)) for one in messages)
        usage = {"input_tokens": size, "output_tokens": 1, "total_tokens": size + 1}
        message = AIMessage("done", usage_metadata=usage, response_metadata={"model_name": "scripted"})
        return ChatResult(generations=[ChatGeneration(message=message)])


@tool
def step(name: str) -> str:
    """Does a step."""
    return name


LOOK, REFUND, CLOSE = (step.model_copy(update={"name": name}) for name in ("list_charges", "refund", "close"))


def agent(store):
    """Calls three tools, a model before each; or a function of the skill once, where it is allowed. Every fourth answer is wrong."""
    model, count = Model(), iter(range(10_000))

    def work(given, config):
        ref, run_id = (config["metadata"][f"skill_plugin_{key}"] for key in ("skill", "run_id"))
        model.invoke(given["messages"], config)
        if ref and checks_of(store, ref).get("passed") and may_run(store, ref):
            call = FunctionCall(skill=ref, function="refund_duplicates", ok=True, tool_calls=3)
            record_calls(store, run_id, [call])
            return "done"
        for one in (LOOK, REFUND, CLOSE):
            one.invoke({"name": "x"}, config)
            model.invoke(given["messages"] * 2, config)
        return "done" if next(count) % 4 else "wrong"

    return RunnableLambda(work)


class Writer:
    """Writes the function when it is asked for one."""

    def __init__(self):
        self.asked = []

    def propose(self, task, history, *, n):
        del task
        self.asked.append(history[-1].chain)
        files = "".join(f"=== file: {path}\n{text}" for path, text in FILES.items()) if history[-1].chain else ""
        edits = f"=== add: end\n## More\n\nCall refund_duplicates({len(self.asked)}).\n{files}=== end"
        return [Revision(completion=edits)] * n


def tasks():
    check = {"name": "exact_match"}
    return [
        Task(f"Refund what customer {n} paid twice.", reference="done", family="refunds", split=split, verifier=check)
        for n, split in enumerate(["train"] * 4 + ["heldout"] * 4)
    ]


def one_night(store, *, allowed):
    store.add_text(text_of("Refund it.", tools="").replace("How to add numbers", "Refund what a customer paid twice."))
    writer = Writer()
    settings = EvolveSettings(
        generations=2, candidates=1, rollouts=4, concurrency=1, adaptive=False, stop_when_solved=False, credit=SAGE,
        min_score=0.0, allow_functions=allowed,
    )  # fmt: skip
    evolve(tasks(), store=store, llm=agent(store), generator=writer, settings=settings)
    return writer


@needs_sandbox
def test_a_function_that_passing_runs_suggest_is_written_tested_tried_and_goes_live(store):
    writer = one_night(store, allowed=True)

    live = store.get("adding")
    assert ("list_charges", "refund", "close") in writer.asked
    assert set(live.files) == {SCRIPT, TEST}
    assert f"allowed-tools: {ALLOWED}\n" in live.text
    assert may_run(store, live.ref)
    assert runs_that_called(store, live.ref)


@needs_sandbox
def test_a_function_that_nobody_allowed_is_stored_and_never_runs(store):
    one_night(store, allowed=False)

    versions = [one for one in store.versions("adding") if one.files]
    assert versions
    assert not any(one.may_run for one in versions)
    assert not any(runs_that_called(store, f"{one.skill_id}@{one.number}") for one in versions)
