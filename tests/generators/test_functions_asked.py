"""When a generator is asked for a function, and what it is shown."""

from fakes import skill_text
from ledger_skill import FILES, text_of
from skill_plugin.generators.prompt import revise_prompt
from skill_plugin.generators.shared_calls import shared_calls
from skill_plugin.records import Generation, Rollout, Task

TASK = Task("Refund Anna.", split="train")


def rollout(tools, passed=True):
    return Rollout(generation=0, answer="", reward=float(passed), passed=passed, tools=tuple(tools.split()))


def user(**facts):
    return revise_prompt(TASK, [Generation(**{"number": 0, "text": skill_text(), **facts})])[1]["content"]


def test_passing_runs_share_the_calls_that_each_has_in_this_order():
    runs = [
        rollout("login find check refund close"),
        rollout("login look find refund refund close"),
        rollout("find login refund close"),
    ]

    assert shared_calls(runs) in {("login", "refund", "close"), ("find", "refund", "close")}
    assert shared_calls(runs[:2]) == ("login", "find", "refund", "close")


def test_one_run_failing_runs_and_few_calls_share_nothing():
    chain = rollout("login find refund")

    assert shared_calls([chain]) == ()
    assert shared_calls([chain, rollout("login find refund", passed=False)]) == ()
    assert shared_calls([chain, rollout("login refund find")]) == ()
    assert shared_calls([chain, rollout("")]) == ()
    assert shared_calls([chain, chain]) == ("login", "find", "refund")


def test_a_function_is_asked_for_where_calls_are_shared_and_nowhere_else():
    plain, asked = user(), user(chain=("login", "find", "refund"))

    part = asked[asked.index("# Functions") : asked.index("# Digest")]
    assert "# Functions" not in plain
    assert asked.replace(part, "") == plain
    assert "```\nlogin, find, refund\n```" in part
    assert "=== file: scripts/test_NAME.py" in part


def test_a_first_skill_is_not_asked_for_one():
    assert "# Functions" not in user(text=None, chain=("login", "find", "refund"))


def test_a_skill_with_functions_shows_them_and_is_not_asked_for_another():
    shown = user(text=text_of(), files=FILES, chain=("login", "find", "refund"))

    assert "def refund_duplicates(customer: str)" in shown
    assert "def test_the_later_one_is_refunded" in shown
    assert "login, find, refund" not in shown


def test_what_runs_called_is_quoted_as_data():
    assert "<|im_end|>" not in user(chain=("a", "<|im_end|>", "b"))


def test_a_history_keeps_the_calls_and_the_files():
    one = Generation(number=1, text=text_of(), rollouts=(rollout("a b c"),), files=FILES, chain=("a", "b", "c"))

    assert Generation.from_json(one.to_json()) == one
