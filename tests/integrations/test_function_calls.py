"""Functions of skills from the shell and over MCP."""

import json

import pytest

from mcp_clients import in_memory
from refunds import REFUNDS, TESTS, TEXT, Shop, add_refunds
from skill_functions import needs_sandbox
from skill_plugin.integrations.function_calls import ServedFunctions
from skill_plugin.integrations.mcp.server import create_server
from skill_plugin.store import SkillStore, count_calls

pytestmark = needs_sandbox
TOTAL = 'def total(numbers: list[int]) -> int:\n    """Adds numbers."""\n    return sum(numbers)\n'
TOTAL_TESTS = "from totals import total\n\n\ndef test_two():\n    assert total([1, 2]) == 3\n"
TOOLS = """
def list_charges(customer: str) -> list:
    '''Lists.'''
    return [{"id": "a", "cents": 5}, {"id": "b", "cents": 5}]


def refund(charge: str) -> str:
    '''Refunds.'''
    return "done"


tools = [list_charges, refund]
"""


@pytest.fixture
def folder(tmp_path):
    """A folder of two skills, as people have them."""
    scripts = tmp_path / "skills" / "refunds" / "scripts"
    scripts.mkdir(parents=True)
    (scripts.parent / "SKILL.md").write_text(TEXT.format(name="refunds"))
    (scripts / "refunds.py").write_text(REFUNDS)
    (scripts / "test_refunds.py").write_text(TESTS)
    scripts = tmp_path / "skills" / "totals" / "scripts"
    scripts.mkdir(parents=True)
    (scripts.parent / "SKILL.md").write_text("---\nname: totals\ndescription: How to add\n---\n\nCall total.\n")
    (scripts / "totals.py").write_text(TOTAL)
    (scripts / "test_totals.py").write_text(TOTAL_TESTS)
    return tmp_path / "skills"


def test_what_an_import_tests_is_shut_in_whatever_runner_is_set(cli, hashing, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SKILL_PLUGIN_FUNCTION_RUNNER", "unsafe-subprocess")
    (mark := tmp_path / "mark").unlink(missing_ok=True)
    tests = folder / "totals" / "scripts" / "test_totals.py"
    tests.write_text(f"import pathlib\npathlib.Path({str(mark)!r}).write_text('out')\n{TOTAL_TESTS}")
    cli("skills", "import", folder)
    assert not mark.exists()


def test_with_several_versions_the_one_that_was_looked_at_is_named(cli, hashing, folder):
    cli("skills", "import", folder)
    (folder / "totals" / "SKILL.md").write_text("---\nname: totals\ndescription: How to add\n---\n\nCall total!\n")
    cli("skills", "import", folder)

    said = cli("skills", "allow", "totals", "--reason", "read", code=1)
    assert "'totals' has 2 versions" in said
    assert "name the one that you looked at: totals@1" in said
    assert cli("skills", "allow", "totals@2", "--reason", "read").startswith("allowed totals version 2")


def test_a_folder_is_imported_allowed_called_and_forbidden(cli, hashing, folder, home):
    cli("skills", "import", folder)
    assert "is not offered: no operator has allowed version 1" in cli("skills", "call", "totals", "total", code=1)
    told = cli("skills", "allow", "totals", "--reason", "read by Ada")
    assert told.startswith("allowed totals version 1 (sk_")
    assert told.endswith("): total; 1 of 1 tests passed\n")

    assert cli("skills", "call", "totals", "total", "--args", '{"numbers": [1, 2]}') == "3\n"
    called = json.loads(cli("skills", "call", "totals", "total", "--args", '{"numbers": [1, 2]}', "--json"))
    assert (called["value"], called["tool_uses"]) == (3, [])
    shown = cli("skills", "show", "totals")
    assert "total\tscripts/totals.py\t\tyes" in shown
    assert "1 of 1 tests passed" in shown
    assert json.loads(cli("skills", "history", "totals", "--json"))[-1]["kind"] == "allowed"

    assert cli("skills", "forbid", "totals").startswith("forbidden: the functions of totals version 1 (sk_")
    assert "no operator has allowed version 1" in cli("skills", "call", "totals", "total", code=1)
    [row] = json.loads(cli("skills", "show", "totals", "--json"))["functions"]
    assert row["why_not"].startswith("no operator has allowed version 1")
    with SkillStore.open(home, embedder="hashing", chroma=False) as store:
        assert count_calls(store, "totals").calls == 2


def test_tools_of_a_function_are_those_that_the_operator_names(cli, hashing, folder, work):
    (work / "shop_tools.py").write_text(TOOLS)
    cli("skills", "import", folder)
    cli("skills", "allow", "refunds", "--reason", "read by Ada")
    refused = cli("skills", "call", "refunds", "refund_duplicates", "--args", '{"customer": "x"}', code=1)
    assert "needs the tool 'list_charges', which this agent does not have" in refused
    args = ("--args", '{"customer": "x"}', "--tools", "shop_tools:tools")
    assert cli("skills", "call", "refunds", "refund_duplicates", *args) == '{"refunded": ["b"]}\n'


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("call", "totals", "total", "--args", "[1"), "--args is not JSON: "),
        (("call", "totals", "total", "--args", "[1]"), "--args is list; give a JSON object"),
        (("call", "totals", "sum"), "the function 'sum' of 'totals' is not offered: the skill has none of that name; offered are: total"),
        (("call", "totals", "total", "--args", "{}"), "total was given wrong arguments: at $: 'numbers' is a required property"),
        (("call", "totals", "total", "--tools", "os:name"), "os:name is str; name a list of tools"),
        (("allow", "totals", "--reason", " "), "no reason is given"),
        (("allow", "nothing", "--reason", "x"), "no skill 'nothing'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(cli, hashing, folder, words, says):
    cli("skills", "import", folder)
    cli("skills", "allow", "totals", "--reason", "read by Ada")
    said = cli("skills", *words, code=1)

    assert says in said
    assert said.count("\n") == 1


def test_red_tests_are_named_and_nothing_is_allowed(cli, hashing, folder):
    (folder / "totals" / "scripts" / "test_totals.py").write_text(TOTAL_TESTS.replace("== 3", "== 4"))
    cli("skills", "import", folder)
    said = cli("skills", "allow", "totals", "--reason", "read by Ada", code=1)

    assert "not allowed: a test fails: scripts/test_totals.py, line 5, test_two: assert total([1, 2]) == 4" in said
    assert "a test fails" not in cli("skills", "call", "totals", "total", code=1)


# MCP


async def test_functions_are_called_over_mcp_only_where_that_is_allowed(store):
    add_refunds(store)
    async with in_memory(create_server(store)) as peer:
        assert "call_skill" not in await peer.tools()
    async with in_memory(create_server(store, functions=ServedFunctions(Shop().tools))) as peer:
        assert {"call_skill", "skill_functions"} <= set(await peer.tools())
        listed = await peer.call("skill_functions", name="refunds")
        answer = await peer.call(
            "call_skill", name="refunds", function="refund_duplicates", arguments={"customer": "anna"}
        )

    assert [one["name"] for one in listed["functions"]] == ["refund_duplicates"]
    assert listed["not_offered"] == []
    assert answer["result"] == '{"refunded": ["c2"]}'
    assert count_calls(store, "refunds").calls == 1


async def test_over_mcp_a_function_without_its_tools_or_not_allowed_is_a_line(store):
    add_refunds(store)
    add_refunds(store, "refunds-2", source=REFUNDS.replace("done = set", "done=set"), allow=False)
    arguments = {"function": "refund_duplicates", "arguments": {"customer": "anna"}}
    async with in_memory(create_server(store, functions=ServedFunctions())) as peer:
        with pytest.raises(AssertionError, match="needs the tool 'list_charges', which this agent does not have"):
            await peer.call("call_skill", name="refunds", **arguments)
        with pytest.raises(AssertionError, match="no operator has allowed version 1"):
            await peer.call("call_skill", name="refunds-2", **arguments)
        listed = await peer.call("skill_functions", name="refunds")

    assert listed["functions"] == []
