"""The tests that come with a skill: red, vacuous, absent."""

import pytest
import skill_tests

from skill_functions import needs_sandbox
from skill_plugin.errors import InvalidSkillError
from skill_plugin.functions import CallResult, TestReport, recorded_tools, run_tests

ALLOWED = skill_tests.ALLOWED
GOOD = """\
from payments import in_currency

TOOLS = {"rate": [{"arguments": {"currency": "EUR"}, "result": 1}, {"arguments": {"currency": "XXX"}, "error": "no such currency"}]}


def test_cents():
    assert in_currency(150) == 1.5
"""


def report(tests, functions=skill_tests.FUNCTIONS, **others):
    return run_tests(skill_tests.files(functions, tests), ALLOWED, **others)


@needs_sandbox
def test_the_tests_of_a_skill_run_and_count():
    found = run_tests(skill_tests.files(), ALLOWED)

    assert found == TestReport(passed=10, total=10)
    assert str(found) == "10 of 10 tests passed"
    assert found.as_dict() == {"passed": 10, "total": 10, "failures": [], "vacuous": [], "untested": []}


@needs_sandbox
@pytest.mark.parametrize("bug", [skill_tests.BUGS[place] for place in (5, 8, 9)])
def test_a_seeded_bug_is_red_with_the_line_of_the_assert(bug):
    """All 20 are run by benchmarks/skill_tests.py."""
    one = skill_tests.TESTS.partition("def test_the_limit_holds")
    if bug[0] == "[:limit]":
        tests = skill_tests.TESTS.partition("\n\n\ndef ")[0] + "\n\n\n" + "".join(one[1:]).partition("\n\n\n")[0]
    else:
        name = "test_nothing_is_refunded" if "anna" in bug[1] else "test_duplicates_are"
        _, named, after = skill_tests.TESTS.partition(f"def {name}")
        tests = skill_tests.TESTS.partition("\n\n\ndef ")[0] + "\n\n\n" + named + after.partition("\n\n\n")[0]
    found = run_tests({**skill_tests.mutant(*bug), "scripts/test_payments.py": tests.encode()}, ALLOWED)

    assert found.is_red
    assert (found.passed, found.total) == (0, 1)
    assert found.failures[0].startswith("scripts/test_payments.py, line ")
    assert ": assert " in found.failures[0]
    assert "AssertionError" in found.failures[0]


@needs_sandbox
def test_vacuous_tests_are_named_and_count_as_absent():
    """All ten are run by benchmarks/skill_tests.py."""
    found = report("\n\n\n".join([GOOD, *(skill_tests.VACUOUS[place] for place in (0, 7))]))

    assert found.vacuous == ("scripts/test_payments.py:test_a", "scripts/test_payments.py:test_h")
    assert (found.passed, found.total, found.is_red) == (1, 3, False)
    assert found.untested == ("duplicates", "refund_duplicates", "shares", "reference")
    assert "test_h would pass on any function, and counts as absent" in str(found)


@needs_sandbox
@pytest.mark.parametrize(
    ("test", "says"),
    [
        (
            "def test_x():\n    in_currency(1, 'YEN')",
            "line 6, test_x: in_currency(1, 'YEN'): LookupError: in_currency raised LookupError: TOOLS has no answer of rate for",
        ),
        ("def test_x():\n    in_currency(1, 'XXX')", "RuntimeError: in_currency raised RuntimeError: no such currency"),
        ("def test_x():\n    in_currency(1, 2)", "in_currency was given wrong arguments: at $.currency: 2 is not"),
        ("def test_x():\n    in_currency()", "line 6, test_x: in_currency(): TypeError"),
        ("from payments import _helper\ndef test_x():\n    pass", "cannot import name '_helper'"),
        ("def test_x():\n    tools.rate(currency='EUR')", "it called the tool 'rate', which its file does not"),
        ("import os\ndef test_x():\n    os._exit(0)", "the code in the sandbox is stopped: it has ended"),
        ("def test_x():\n    open('scripts/payments.py').read().index('raise ValueError')", "ValueError"),
    ],
)
def test_a_test_that_fails_says_where_and_why(test, says):
    found = report(GOOD.partition("\n\n\ndef")[0] + f"\n\n{test}\n")

    assert found.is_red
    assert says in found.failures[0]
    assert "\n" not in found.failures[0]


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        ("X = 1", "has no tests"),
        ("def test_x(tmp_path):\n    pass", "line 1: test_x is not a plain test"),
        ("async def test_x():\n    pass", "line 1: test_x is not a plain test"),
        ("def test_x(:\n", "line 1: it is not Python"),
        ("TOOLS = {'rate': make()}\ndef test_x(): pass", "line 1: TOOLS is not a constant"),
        ("TOOLS = {'rate': [1]}\ndef test_x(): pass", "line 1: TOOLS has another form"),
        ("TOOLS = {'rate': [{'arguments': {}, 'answer': 1}]}\ndef test_x(): pass", "line 1: TOOLS has another form"),
        ("TOOLS = {'rate': [{'arguments': {}, 'result': {1}}]}\ndef test_x(): pass", "line 1: TOOLS is not a constant"),
    ],
)
def test_a_file_of_tests_that_breaks_the_rules_is_refused_with_its_line(tests, says):
    with pytest.raises(InvalidSkillError, match=r"scripts/test_payments\.py") as caught:
        report(tests)

    assert says in str(caught.value)


def test_records_are_played_in_their_order():
    ask = {"arguments": {"n": 1}}
    tools = recorded_tools.RecordedTools({"get": [{**ask, "result": "a"}, {**ask, "result": "b"}]}).answers(("get",))

    assert [tools["get"]({"n": 1}) for _ in range(3)] == ["a", "b", "b"]


def test_a_runner_of_ones_own_runs_them():
    class Own:
        problem = ""
        asked: list = []  # noqa: RUF012

        def run(self, package, function, arguments, tools, limits=None):
            self.asked.append(function)
            if function == "test_cents":
                value = tools["in_currency"]({"cents": 150})
                return CallResult() if value == 1.5 else CallResult(error="red")
            return CallResult(value=1.5)

    assert report(GOOD, runs=Own()) == TestReport(
        1, 1, untested=("duplicates", "refund_duplicates", "shares", "reference")
    )
    assert Own.asked == ["test_cents", "in_currency", "test_cents"]
