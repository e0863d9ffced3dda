"""Functions of skills in graphs of one's own, as tools of a real `ToolNode` and as code; and what is offered, and why not."""

from typing import Annotated

import pytest
from langchain_core.tools import ToolException, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode

from fakes import AgentChat, called
from refunds import ASK, REFUNDS, TESTS, TEXT, Shop, add_refunds, tool_answers
from skill_functions import needs_sandbox
from skill_plugin.errors import InvalidSkillError, StoreError
from skill_plugin.functions import SandboxRunner, tool_schema_hash
from skill_plugin.graphs import (
    SkillKeys,
    add_skills,
    allow_tested_functions,
    function_tools,
    offered_functions,
    skill_prelude,
)
from skill_plugin.store import allow_functions, calls_of, checks_of, count_calls, forbid_functions, keep_checks, may_run

pytestmark = needs_sandbox
TOTAL = '''
from _sums import add, LIMIT


def total(numbers: list[int]) -> int:
    """Adds numbers."""
    return min(add(numbers), LIMIT)


if __name__ == "__main__":
    print(total([1]))
'''
SUMS = "import math\n\nLIMIT = 1000\n\n\ndef add(numbers):\n    return int(math.fsum(numbers))\n"
GREEN = {"passed": 1, "total": 1}


@pytest.fixture
def shop():
    return Shop()


def state_of(*skills):
    return {"skillp_skills": [{"ref": skill.ref} for skill in skills], "skillp_run": {"run_id": "run-1"}}


def reasons(store, skills, tools, **options):
    return [str(one) for one in offered_functions(store, state_of(*skills), tools, **options).left_out]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_graph_of_ones_own_serves_functions_by_its_own_tool_node(store, shop, is_async):
    class State(MessagesState, SkillKeys):
        pass

    skill = add_refunds(store)
    model = AgentChat([called("refund_duplicates", customer="anna"), "done"])

    def agent(state: State):
        tools = [*shop.tools, *function_tools(store, state, shop.tools)]
        return {"messages": [model.bind_tools(tools).invoke(state["messages"])]}

    def use_tools(state: State):
        return ToolNode([*shop.tools, *function_tools(store, state, shop.tools)])

    builder = StateGraph(State).add_node("agent", agent).add_node("tools", use_tools)
    builder.add_edge(START, "agent").add_edge("tools", "agent")
    builder.add_conditional_edges("agent", lambda s: "tools" if s["messages"][-1].tool_calls else END, ["tools", END])
    graph = add_skills(builder, store=store, before="agent", after="tools").compile()
    output = await graph.ainvoke(ASK) if is_async else graph.invoke(ASK)

    assert model.bound == ["list_charges", "refund", "refund_duplicates"]
    assert tool_answers(output) == [("refund_duplicates", "success", '{"refunded": ["c2"]}')]
    [call] = calls_of(store, output["skillp_run"]["run_id"])
    assert (call.skill, call.ok, shop.refunded) == (skill.ref, True, ["c2"])
    assert call.arguments == '{"customer":"anna"}'


def test_tests_are_run_and_kept_before_functions_are_allowed(store, shop):
    skill = add_refunds(store, allow=False)
    report = allow_tested_functions(store, "refunds", reason="read by Ada", tools=[shop.tools[0]])

    assert (report.passed, report.total) == (1, 1)
    assert may_run(store, skill.ref)
    kept = checks_of(store, skill.ref)
    assert (kept["passed"], kept["total"], kept["failures"], kept["vacuous"]) == (1, 1, [], [])
    assert kept["tools"] == {"list_charges": tool_schema_hash(shop.tools[0])}


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        ("", "it has no tests; write scripts/test_NAME.py"),
        (TESTS.replace('["b"]', '["a"]'), "a test fails: scripts/test_refunds.py, line 11, test_the_later_charge"),
        (TESTS.replace('== {"refunded": ["b"]}', "or True"), "would pass on any function, so it tests nothing"),
    ],
)
def test_functions_without_sound_tests_are_not_allowed(store, shop, tests, says):
    skill = add_refunds(store, tests=tests, allow=False)
    with pytest.raises(InvalidSkillError, match="the functions of 'refunds' are not allowed") as refused:
        allow_tested_functions(store, "refunds", reason="read by Ada")

    assert says in str(refused.value)
    assert not may_run(store, skill.ref)


def test_a_skill_without_functions_is_refused_with_the_line_that_is_wrong(store):
    store.add_text(TEXT.format(name="report"), files={"scripts/report.py": "import sys\nprint(sys.argv)\n"})
    with pytest.raises(InvalidSkillError, match=r"'report' has no functions: scripts/report.py, line 2: only imports"):
        allow_tested_functions(store, "report", reason="read by Ada")


def test_an_ordinary_script_beside_functions_costs_nothing_but_itself(store):
    files = {"scripts/refunds.py": REFUNDS, "scripts/test_refunds.py": TESTS, "scripts/report.py": "print(1)\n"}
    skill = store.add_text(TEXT.format(name="refunds"), files=files)
    allow_tested_functions(store, "refunds", reason="read by Ada")
    offer = offered_functions(store, state_of(skill), Shop().tools)

    assert [one.function.name for one in offer.functions] == ["refund_duplicates"]
    assert [one.reason.partition(": ")[0] for one in offer.left_out] == ["scripts/report.py, line 1"]


@pytest.mark.parametrize(
    ("checks", "says"),
    [
        ({}, "its tests were not run; skill-plugin skills allow refunds@1 --reason WHY runs them"),
        ({**GREEN, "failures": ["scripts/test_a.py, line 3: no"]}, "a test fails: scripts/test_a.py, line 3: no"),
        ({"functions": ["refund_duplicates"], "not_run": "not here"}, "its tests were not run: not here"),
        ({"passed": 0, "total": 1, "vacuous": ["t:a"]}, "t:a would pass on any function"),
        ({**GREEN, "untested": ["refund_duplicates"]}, "no test tests refund_duplicates"),
    ],
)
def test_what_is_not_tested_is_not_offered(store, shop, checks, says):
    skill = add_refunds(store)
    keep_checks(store, skill.ref, checks)

    assert function_tools(store, state_of(skill), shop.tools) == []
    [why] = reasons(store, [skill], shop.tools)
    assert f"refunds.refund_duplicates: {says}" in why


def test_where_nothing_can_run_nothing_is_offered(store, shop):
    class Elsewhere(SandboxRunner):
        problem = "functions do not run here: this machine cannot shut off files"

    skill = add_refunds(store)
    assert function_tools(store, state_of(skill), shop.tools, runs=Elsewhere()) == []
    assert reasons(store, [skill], shop.tools, runs=Elsewhere()) == [f"refunds.refund_duplicates: {Elsewhere.problem}"]


def test_a_held_or_retired_version_and_one_that_is_gone_are_left_out(store, shop):
    skill = add_refunds(store)
    store.retire("refunds")
    assert "the skill is retired" in reasons(store, [skill], shop.tools)[0]
    store.restore("refunds")
    assert reasons(store, [skill], shop.tools) == []
    assert "no skill" in str(offered_functions(store, {"skillp_skills": [{"ref": "sk_000000000000@1"}]}).left_out[0])


def test_names_that_clash_get_their_skills_name_in_front(store, shop):
    first, second = (
        add_refunds(store),
        add_refunds(store, "refunds-2", source=REFUNDS.replace("done = set", "done=set")),
    )
    names = [one.name for one in function_tools(store, state_of(first, second), shop.tools)]
    assert names == ["refunds__refund_duplicates", "refunds-2__refund_duplicates"]

    @tool
    def refund_duplicates() -> str:
        """The agent's own."""
        return ""

    own = [*shop.tools, refund_duplicates]
    assert [one.name for one in function_tools(store, state_of(first), own)] == ["refunds__refund_duplicates"]

    @tool("refunds__refund_duplicates")
    def other() -> str:
        """Another of the agent's own."""
        return ""

    assert function_tools(store, state_of(first), [*own, other]) == []
    assert (
        "would be called 'refunds__refund_duplicates', and a tool has that name already"
        in reasons(store, [first], [*own, other])[0]
    )


def test_at_most_so_many_are_offered(store, shop):
    source = "".join(f'def f{n}() -> int:\n    """Returns {n}."""\n    return {n}\n' for n in range(10))
    skill = add_refunds(store, source=source)
    assert [one.name for one in function_tools(store, state_of(skill))] == [f"f{n}" for n in range(8)]
    assert reasons(store, [skill], []) == [
        f"refunds.f{n}: 8 functions are offered before it, and no more than that" for n in (8, 9)
    ]


def test_what_the_agent_puts_into_a_tool_itself_is_not_a_functions_to_choose(store):
    @tool
    def refund(charge: str, state: Annotated[dict, InjectedState]) -> str:
        """Refunds a charge."""
        return f"{charge} by {state['user']}"

    source = '''
def give(charge: str) -> str:
    """Refunds."""
    return tools.refund(charge=charge, state={"user": "root"})
'''
    skill = add_refunds(store, source=source)
    [function] = function_tools(store, state_of(skill), [refund])
    with pytest.raises(ToolException, match="TypeError: refund\\(\\) takes no argument 'state'"):
        function._run(charge="c1")


def test_a_call_that_was_forbidden_meanwhile_does_not_run(store, shop):
    skill = add_refunds(store)
    [function] = function_tools(store, state_of(skill), shop.tools)
    forbid_functions(store, "refunds")

    assert "refund_duplicates cannot be called any more: no operator has allowed version 1" in function.invoke(
        {"customer": "anna"}
    )
    assert (shop.refunded, count_calls(store, "refunds").calls) == ([], 0)


def test_one_that_is_forbidden_while_it_runs_calls_no_further_tool(store, shop):
    skill = add_refunds(store)
    look, refund = shop.tools

    @tool
    def list_charges(customer: str) -> list[dict]:
        """Lists the charges of a customer."""
        forbid_functions(store, "refunds", reason="in the middle of it")
        return look.invoke({"customer": customer})

    [function] = function_tools(store, state_of(skill), [list_charges, refund])

    assert "it was stopped: no operator has allowed version 1" in function.invoke({"customer": "anna"})
    assert shop.refunded == []


def test_an_offered_function_is_found_by_name_and_else_the_reason(store, shop):
    skill = add_refunds(store, allow=False)
    offer = offered_functions(store, state_of(skill), shop.tools)
    with pytest.raises(StoreError, match=r"is not offered: no operator has allowed version 1.*; offered are: none"):
        offer.of("refunds", "refund_duplicates")


def test_code_of_a_run_runs_before_what_a_model_writes(store, shop):
    sums = store.add_text(
        TEXT.format(name="sums").replace("allowed-tools: list_charges refund\n", ""),
        files={"scripts/totals.py": TOTAL, "scripts/_sums.py": SUMS},
    )
    keep_checks(store, sums.ref, GREEN)
    allow_functions(store, sums.ref, reason="read")
    refunds = add_refunds(store)
    prelude = skill_prelude(store, state_of(sums, refunds), shop.tools)
    names = {one.name: lambda tool=one, **given: tool.invoke(given) for one in shop.tools}
    exec(prelude.code + "\nprinted = [total([1, 2]), total([999, 2]), refund_duplicates('anna')]", names)

    assert names["printed"] == [3, 1000, {"refunded": ["c2"]}]
    assert [one.name for one in prelude.functions] == ["total", "refund_duplicates"]


def test_code_that_fails_is_dropped_whole(store):
    source = '''
class Odd:
    x = 1 / 0


def one() -> int:
    """Returns one."""
    return 1
'''
    skill = add_refunds(store, source=source)
    prelude = skill_prelude(store, state_of(skill))

    assert (prelude.code, prelude.functions) == ("", ())
    assert "it is dropped: skill_prelude_can_be_run raised ZeroDivisionError" in str(prelude.left_out[-1])


def test_code_never_takes_the_name_of_a_tool_of_the_agent(store, shop):
    source = 'def _helper():\n    return 1\n\n\ndef refund(x: int) -> int:\n    """Adds."""\n    return x + _helper()\n'
    skill = add_refunds(store, source=source)
    prelude = skill_prelude(store, state_of(skill), shop.tools)

    assert prelude.code == ""
    assert "the name 'refund' is taken in the block by the agent" in str(prelude.left_out[0])


def test_a_tools_error_text_is_an_error_for_the_function(store, shop):
    @tool
    def list_charges(customer: str) -> str:
        """Lists."""
        raise ToolException("no such customer")

    list_charges.handle_tool_error = True
    skill = add_refunds(store)
    [function] = function_tools(store, state_of(skill), [list_charges, shop.tools[1]])

    assert "no such customer" in function.invoke({"customer": "anna"})
