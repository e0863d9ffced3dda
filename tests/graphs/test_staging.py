"""What a generator writes is tested before it is staged; the store runs nothing."""

import json

import pytest

from evolving import SMALL, adding, run
from fakes import FingersAdder
from ledger_skill import ALLOWED, FILES, FUNCTION, RED, SCRIPT, TEST, TESTS, VACUOUS, revision, staged, text_of
from skill_functions import needs_sandbox
from skill_plugin.errors import ConfigurationError
from skill_plugin.functions import UnsafeSubprocessRunner
from skill_plugin.graphs import function_tools, skill_prelude
from skill_plugin.graphs.staging import NO_FUNCTION, check_version, checked_revisions, with_functions
from skill_plugin.records import Generation, Revision, Rollout
from skill_plugin.skills.skill_md import parse
from skill_plugin.store import FunctionCall, allow_functions, checks_of, files_of, may_run, record_calls

pytestmark = needs_sandbox


def test_a_version_with_green_tests_is_staged_with_what_they_said(store):
    [one] = checked_revisions(store, [revision(FILES)], parent=None)
    [(_, skill)] = staged(store, one)

    checks = checks_of(store, skill.ref)

    assert (checks["passed"], checks["total"], checks["functions"]) == (1, 1, ["refund_duplicates"])
    assert not may_run(store, skill.ref)


def test_a_red_version_is_not_staged_and_the_line_that_failed_is_kept(store):
    [one] = checked_revisions(store, [revision(RED)], parent=None)
    [(kept, skill)] = staged(store, one)

    assert skill is None
    assert kept.error == (
        'its tests fail: scripts/test_ledger.py, line 10, test_the_later_one_is_refunded: assert refund_duplicates("anna") == '
        '["b"]: AssertionError'
    )


def test_a_test_that_tests_nothing_is_named_and_its_function_counts_as_untested(store):
    [one] = checked_revisions(store, [revision(VACUOUS)], parent=None)

    assert one.error is None
    assert one.checks["vacuous"] == [f"{TEST}:test_the_later_one_is_refunded"]
    assert (one.checks["passed"], one.checks["untested"]) == (0, ["refund_duplicates"])


def test_a_version_without_tests_is_staged_as_a_text(store):
    [one] = checked_revisions(store, [revision({SCRIPT: FUNCTION})], parent=None)
    [(_, skill)] = staged(store, one)

    assert skill.files == (SCRIPT,)
    assert checks_of(store, skill.ref)["untested"] == ["refund_duplicates"]


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (
            {**FILES, SCRIPT: FUNCTION.replace("tools.refund(", "tools.delete(")},
            "scripts/ledger.py, line 6: the tool 'delete'",
        ),
        ({**FILES, SCRIPT: "import os\nos.system('x')\n"}, "scripts/ledger.py, line 2: only imports"),
        ({**FILES, TEST: "import ledger\n"}, "its tests fail: scripts/test_ledger.py has no tests"),
    ],
    ids=["tool", "script", "no tests"],
)
def test_what_breaks_the_rules_is_refused_with_its_line(store, files, line):
    [one] = checked_revisions(store, [revision(files)], parent=None)

    assert (one.text, one.files) == (None, {})
    assert one.error.startswith(line)


def test_what_was_wrong_before_does_not_count_against_a_revision(store):
    script = "import sys\nprint(sys.argv)\n"
    parent = store.add_text(text_of(), files={"scripts/report.py": script, "scripts/test_report.py": "import pytest\n"})
    red = store.add(
        name="ledger",
        description="Ledgers.",
        body="Work.",
        files={
            SCRIPT: "def f(a: int) -> int:\n    '''Adds.'''\n    return a\n",
            TEST: "from ledger import f\n\n\ndef test_f():\n    assert f(1) == 2\n",
        },
    )

    [one] = checked_revisions(store, [revision({"references/a.md": "More."})], parent=parent.ref)
    [other] = checked_revisions(store, [revision({}, red.text.replace("Work.", "Do."))], parent=red.ref)

    assert (one.error, other.error) == (None, None)


def test_a_function_may_call_what_the_agent_called_and_the_front_matter_says_so(store):
    parent = store.add_text(text_of(tools=""))
    chain = ("list_charges", "refund", "close")

    [one] = checked_revisions(store, [revision(FILES, text_of(tools=""))], parent=parent.ref, chain=chain)

    assert one.error is None
    assert parse(one.text).extra["allowed-tools"] == ALLOWED


@pytest.fixture
def called(store):
    """Keeps a call of the skill's function with some arguments; returns the skill."""
    skill = store.add_text(text_of(), files=FILES)

    def call(arguments, *, ok=True):
        given = FunctionCall(skill=skill.ref, function="refund_duplicates", ok=ok, arguments=json.dumps(arguments))
        record_calls(store, "run", [given])
        return skill

    return call


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        ("customer: str, limit: int = 3", None),
        ("customer: str | int", None),
        ("customer: str, limit: int", "'limit' is a required property"),
        ("customer: Literal['anna', 'ben']", "'carla' is not one of"),
    ],
)
def test_a_function_still_takes_what_agents_have_called_it_with(store, called, signature, why):
    called({"customer": "anna"})
    skill = called({"customer": "carla"})
    script = FUNCTION.replace("customer: str", signature)
    tests = TESTS.replace(
        'refund_duplicates("anna")',
        'refund_duplicates("anna", limit=3)' if "limit" in signature else 'refund_duplicates("anna")',
    )

    files = {SCRIPT: f"from typing import Literal\n\n\n{script}", TEST: tests}
    [one] = checked_revisions(store, [revision(files)], parent=skill.ref)

    if why is None:
        assert one.error is None
    else:
        assert one.text is None
        assert one.error.startswith('refund_duplicates no longer takes what agents call it with, {"customer":"')
        assert why in one.error


@pytest.mark.parametrize(
    ("arguments", "ok"),
    [
        ({"person": 7}, False),
        ({"customer": "password: hunter2-Zebra", "more": 1}, True),
        ({"customer": "a" * 3000, "more": 1}, True),
    ],
    ids=["failed", "secret", "long"],
)
def test_a_call_that_failed_or_is_not_kept_as_it_was_holds_no_revision_up(store, called, arguments, ok):
    skill = called(arguments, ok=ok)

    [one] = checked_revisions(store, [revision(FILES)], parent=skill.ref)

    assert one.error is None


def test_where_code_is_due_a_text_alone_is_an_error(store):
    parent = store.add_text(text_of())
    text = revision({}, text_of("Refund with care."))

    [plain] = checked_revisions(store, [text], parent=parent.ref)
    [due] = checked_revisions(store, [text], parent=parent.ref, wants_function=True)

    assert (plain.error, due.error) == (None, NO_FUNCTION)


def test_a_version_that_came_in_otherwise_is_checked_when_somebody_asks(store):
    skill = store.add_text(text_of(), files=FILES)
    assert checks_of(store, skill.ref) == {}

    check = check_version(store, skill.ref, UnsafeSubprocessRunner())

    assert check.tested == ("refund_duplicates",)
    assert checks_of(store, skill.ref) == json.loads(json.dumps(check.as_dict()))


def test_where_nothing_can_run_no_function_is_tested(store):
    class Nothing(UnsafeSubprocessRunner):
        problem = "nothing runs here"

        def run(self, *_, **__):
            raise ConfigurationError(self.problem)

    skill = store.add_text(text_of(), files=FILES)

    check = check_version(store, skill.ref, Nothing())

    assert (check.tested, check.not_run) == ((), "nothing runs here")
    assert checks_of(store, skill.ref)["not_run"] == "nothing runs here"


def test_a_function_that_failed_in_a_failing_run_is_feedback(store):
    skill = store.add_text(text_of(), files=FILES)
    call = FunctionCall(skill=skill.ref, function="refund_duplicates", ok=False, error="KeyError: 'cents'")
    record_calls(store, "run", [call])
    failing = Rollout(generation=0, answer="", skill=skill.ref, reward=0, passed=False, feedback="not refunded")
    passing = Rollout(generation=0, answer="", skill=skill.ref, reward=1, passed=True)
    past = [Generation(number=0, text=skill.text, skill=skill.ref, rollouts=(failing, passing))]

    [told] = with_functions(store, past, "run")
    [elsewhere] = with_functions(store, past, "another run")

    assert told.rollouts[0].feedback == "not refunded\nthe function refund_duplicates failed: KeyError: 'cents'"
    assert told.rollouts[1] == passing
    assert elsewhere.rollouts == past[0].rollouts
    assert told.files == FILES


def test_evolve_stops_a_red_revision_and_its_generator_hears_the_line(store):
    first = store.add_text(text_of("Use your fingers."), files=FILES)

    seen = []

    class Writer:
        def propose(self, task, history, *, n):
            seen.append(list(history))
            return [Revision(completion="", text=text_of("Use a machine."), files=RED)] * n

    run(store, adding(1), writer=Writer(), llm=FingersAdder(), settings=SMALL)

    [before, after] = seen
    assert [one.number for one in store.versions("adding")] == [1]
    assert before[-1].files == files_as_text(store, first.ref)
    assert "its tests fail: scripts/test_ledger.py, line 10" in after[0].error


def files_as_text(store, ref):
    return {path: data.decode() for path, data in files_of(store, ref).items()}


def test_a_package_that_the_operator_names_is_imported_and_no_other(open_store):
    script = 'import yaml\n\n\ndef keys(text: str) -> list[str]:\n    """Reads the keys."""\n    return list(yaml.safe_load(text))\n'
    test = 'from pairs import keys\n\n\ndef test_keys():\n    assert keys("a: 1") == ["a"]\n'
    files = {"scripts/pairs.py": script, "scripts/test_pairs.py": test}

    def offered(**options):
        store = open_store(**options)
        skill = store.add_text(text_of(tools=""), files=files)
        check = check_version(store, skill.ref)
        state = {"skillp_skills": [{"ref": skill.ref}], "skillp_run": {"run_id": "run"}}
        if check.tested:
            allow_functions(store, skill.ref, reason="read")
        return check, function_tools(store, state, []), skill_prelude(store, state, [])

    check, tools, prelude = offered(function_packages=["yaml"])
    assert check.tested == ("keys",)
    assert (tools[0].invoke({"text": "a: 1\nb: 2"}), "import yaml" in prelude.code) == ('["a", "b"]', True)
    check, tools, _ = offered(namespace="other", function_packages=["numpy"])
    assert (check.tested, tools) == ((), [])
    assert check.refused["scripts/pairs.py"].startswith(
        "scripts/pairs.py, line 1: 'yaml' is not part of Python's library"
    )
    with pytest.raises(ConfigurationError, match="function_packages is the text 'yaml'; give a list of names"):
        open_store(function_packages="yaml")
