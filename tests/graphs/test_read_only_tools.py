"""The policy for tools that only read: which functions run though nobody allowed their version, and which never do."""

from typing import Any

import pytest
from langchain_core.tools import tool

from refunds import REFUNDS, TESTS, Shop
from skill_functions import needs_sandbox
from skill_plugin.errors import ConfigurationError
from skill_plugin.functions import UnsafeSubprocessRunner
from skill_plugin.graphs import function_tools, skill_prelude
from skill_plugin.graphs.functions.offer import function_offer
from skill_plugin.graphs.functions.prelude import UNHELD
from skill_plugin.graphs.staging import check_version
from skill_plugin.settings import Settings
from skill_plugin.store import SkillStore, allow_functions, count_calls, forbid_functions, may_run

pytestmark = needs_sandbox

TEXT = """---
name: spending
description: How to find what a customer has spent
allowed-tools: list_charges refund
---

Call spent with the customer's name.
"""
SPENT = '''
def spent(customer: str) -> int:
    """Adds up what a customer was charged."""
    return add([charge["cents"] for charge in tools.list_charges(customer=customer)])


def add(numbers: list[int]) -> int:
    """Adds numbers."""
    return sum(numbers)
'''
SPENT_TESTS = """
from spending import add, spent

TOOLS = {"list_charges": [{"arguments": {"customer": "x"}, "result": [{"id": "a", "cents": 5}, {"id": "b", "cents": 7}]}]}


def test_all_charges_are_added():
    assert spent("x") == 12


def test_numbers_are_added():
    assert add([1, 2]) == 3
"""
FILES = {
    "scripts/spending.py": SPENT,
    "scripts/test_spending.py": SPENT_TESTS,
    "scripts/refunds.py": REFUNDS,
    "scripts/test_refunds.py": TESTS,
}
NOBODY = "no operator has allowed version"


@pytest.fixture
def reading(open_store):
    return open_store(read_only_tools=["list_charges"])


def add_spending(store, files=FILES, text=TEXT):
    skill = store.add_text(text, files=files)
    check_version(store, skill.ref)
    return skill


def state_of(skill):
    return {"skillp_skills": [{"ref": skill.ref}], "skillp_run": {"run_id": "run-1"}}


def offered(store, skill, runs=None):
    offer = function_offer(store, [skill.ref], Shop().tools, runs=runs)
    return {one.function.name for one in offer.functions}, {one.function: one.reason for one in offer.left_out}


def test_without_the_policy_nothing_runs_that_nobody_allowed(store):
    names, why = offered(store, add_spending(store))

    assert names == set()
    assert all(reason.startswith(NOBODY) for reason in why.values())


def test_what_calls_reading_tools_alone_or_none_is_offered_and_what_writes_is_not(reading):
    skill = add_spending(reading)
    names, why = offered(reading, skill)

    assert names == {"spent", "add"}
    assert why["refund_duplicates"].startswith(NOBODY)
    assert not may_run(reading, skill.ref)


def test_it_runs_and_its_call_is_kept(reading):
    skill = add_spending(reading)
    [_, spent] = sorted(function_tools(reading, state_of(skill), Shop().tools), key=lambda tool: tool.name)

    assert spent.invoke({"customer": "anna"}) == "1700"
    assert count_calls(reading, "spending", function="spent").calls == 1


def test_what_an_operator_forbade_stays_so_in_later_versions_until_one_is_allowed(reading):
    skill = add_spending(reading)
    forbid_functions(reading, skill.ref, reason="it leaks")
    forbid_functions(reading, skill.ref, reason="said twice")
    assert [event.kind for event in reading.history("spending")].count("forbidden") == 1
    assert offered(reading, skill)[0] == set()

    revised = reading.revise("spending", body="Call spent, then say it in euros.")
    check_version(reading, revised.ref)
    reading.promote(revised.ref, reason="better")
    assert offered(reading, revised)[0] == set()

    allow_functions(reading, revised.ref, reason="read by Ada")
    assert offered(reading, revised)[0] == {"spent", "add", "refund_duplicates"}
    again = reading.revise("spending", body="Call spent, then say it in cents.")
    check_version(reading, again.ref)
    reading.promote(again.ref, reason="better still")
    assert offered(reading, again)[0] == {"spent", "add"}


def test_a_quarantine_ends_it_also_after_the_skill_is_restored(reading):
    skill = add_spending(reading)
    reading.quarantine("spending", reason="strange")
    assert offered(reading, skill)[0] == set()
    reading.restore("spending", reason="looked at it")

    assert offered(reading, skill)[0] == set()


def test_a_staged_version_has_to_wait_and_the_one_before_it_had_its_time(reading):
    skill = add_spending(reading)
    staged = reading.revise("spending", body="Else.")
    check_version(reading, staged.ref)
    assert (offered(reading, staged)[0], offered(reading, skill)[0]) == (set(), {"spent", "add"})

    reading.promote(staged.ref, reason="better")
    assert (offered(reading, staged)[0], offered(reading, skill)[0]) == ({"spent", "add"}, set())


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        (SPENT_TESTS.replace("== 12", "== 13"), "a test fails: scripts/test_spending.py"),
        (SPENT_TESTS.replace("assert spent", "assert True or spent"), "no test tests spent"),
        (None, "its tests were not run"),
    ],
)
def test_what_is_not_tested_is_not_offered(reading, tests, why):
    if tests is None:
        skill = reading.add_text(TEXT, files=FILES)
    else:
        skill = add_spending(reading, {**FILES, "scripts/test_spending.py": tests})

    assert offered(reading, skill)[1]["spent"].startswith(why)


def test_a_runner_that_contains_nothing_runs_only_what_somebody_allowed(reading):
    skill = add_spending(reading)
    names, why = offered(reading, skill, UnsafeSubprocessRunner())

    assert names == set()
    assert why["spent"].endswith("its runner contains nothing")
    allow_functions(reading, skill.ref, reason="read by Ada")
    assert offered(reading, skill, UnsafeSubprocessRunner())[0] == {"spent", "add", "refund_duplicates"}


def test_a_call_that_has_begun_asks_before_each_tool(reading):
    skill = add_spending(reading)
    look = Shop().tools[0]

    @tool
    def list_charges(customer: str) -> list[dict[str, Any]]:
        """Lists the charges of a customer."""
        forbid_functions(reading, skill.ref, reason="in the middle of it")
        return look.invoke({"customer": customer})

    twice = SPENT.replace("customer=customer)]", "customer=customer) + tools.list_charges(customer=customer)]")
    files = {**FILES, "scripts/spending.py": twice, "scripts/test_spending.py": SPENT_TESTS.replace("== 12", "== 24")}
    skill = reading.revise("spending", body="Else.", files=files)
    check_version(reading, skill.ref)
    reading.promote(skill.ref, reason="better")
    spent = {one.name: one for one in function_tools(reading, state_of(skill), [list_charges])}["spent"]

    assert "it was stopped: no operator has allowed version 2" in spent.invoke({"customer": "anna"})
    assert "spent cannot be called any more: no operator has allowed" in spent.invoke({"customer": "anna"})


def test_code_that_the_agents_own_sandbox_runs_has_nothing_that_nobody_allowed(reading):
    skill = add_spending(reading)
    prelude = skill_prelude(reading, state_of(skill), Shop().tools)
    assert (prelude.code, prelude.functions) == ("", ())
    assert {one.reason for one in prelude.left_out if one.function in ("spent", "add")} == {UNHELD}

    allow_functions(reading, skill.ref, reason="read by Ada")
    assert {one.name for one in skill_prelude(reading, state_of(skill), Shop().tools).functions} >= {"spent", "add"}


def test_what_evolve_says_of_its_candidates_neither_ends_the_policy_nor_brings_it_back(reading):
    skill = add_spending(reading)
    allow_functions(reading, skill.ref, reason="a trial", by="evolve ev_1")
    forbid_functions(reading, skill.ref, reason="it did not go live", by="evolve ev_1")
    assert offered(reading, skill)[0] == {"spent", "add"}

    forbid_functions(reading, skill.ref, reason="it leaks")
    allow_functions(reading, skill.ref, reason="a trial", by="evolve ev_2")
    forbid_functions(reading, skill.ref, reason="it did not go live", by="evolve ev_2")
    assert offered(reading, skill)[0] == set()


def test_a_function_that_could_not_be_read_when_the_tests_ran_is_untested(open_store):
    files = {
        **FILES,
        "scripts/more.py": 'import yaml\n\n\ndef keys(text: str) -> list[str]:\n    """Reads."""\n    return list(yaml.safe_load(text))\n',
    }
    skill = add_spending(open_store(read_only_tools=["list_charges"]), files)
    later = open_store(read_only_tools=["list_charges"], function_packages=["yaml"])

    names, why = offered(later, skill)
    assert names == {"spent", "add"}
    assert why["keys"].startswith("its tests were run when keys could not be read")


def test_the_policy_is_a_setting_and_its_tools_a_list(home):
    home.mkdir(parents=True, exist_ok=True)
    home.joinpath("settings.toml").write_text('read_only_tools = ["list_charges"]\n')
    with SkillStore.from_settings(Settings.load(home=home, embedder="hashing"), index=False) as store:
        assert offered(store, add_spending(store))[0] == {"spent", "add"}
    with pytest.raises(ConfigurationError, match="read_only_tools is the text 'list_charges'; give a list of names"):
        SkillStore.open(home, read_only_tools="list_charges")
