"""What a call of a function gives, and which runner gives it."""

import json
import sys
import threading
import time
import types

import pytest
from langchain_core.tools import tool
from langgraph.errors import GraphInterrupt

from skill_functions import SLOW, body, call, needs_sandbox, package
from skill_plugin.errors import ConfigurationError, InvalidSkillError, SandboxError
from skill_plugin.functions import (
    CallResult,
    FunctionLimits,
    SandboxRunner,
    UnsafeSubprocessRunner,
    changed_tools,
    describe_runner,
    runner,
    runners,
    tool_schema_hash,
)
from skill_plugin.functions.limits import SHOWN_BYTES
from skill_plugin.sandbox import HOST, Sandbox

ADDS = '''
import json
from pathlib import Path
from _more import each

NAME = "total"

def work(ids: list[str], rate: float = 1.0) -> dict:
    """Adds the cents of charges."""
    table = json.loads((Path(__file__).parent.parent / "assets" / "table.json").read_text())
    found = each(ids)
    return {NAME: sum(found) * rate, "table": table, "here": sorted(p.name for p in Path("scripts").iterdir())}
'''
MORE = "def each(ids):\n    return [tools.charge(id=one)['cents'] for one in ids]\n"


@pytest.fixture(params=["sandbox", "unsafe-subprocess"])
def either(request):
    if request.param == "sandbox" and runner().problem:
        pytest.skip(runner().problem)
    return runner(request.param)


def test_a_function_chains_the_hosts_tools_and_reads_its_own_files(either):
    others = {"scripts/_more.py": MORE, "assets/table.json": "[1]", "scripts/test_work.py": "secret"}
    made = package(ADDS, "charge", **others)
    asked, threads = [], []

    def charge(arguments):
        threads.append(threading.get_ident())
        asked.append(arguments)
        return {"cents": 100 * len(asked)}

    result = either.run(made, "work", {"ids": ["a", "b"], "rate": 2}, {"charge": charge, "other": print}, SLOW)

    assert result.value == {"total": 600, "table": [1], "here": ["_more.py", "work.py"]}  # without its tests
    assert json.loads(result.text) == result.value
    assert (result.ok, result.error, result.shown) == (True, "", result.text)
    assert [(one.name, one.arguments, one.ok) for one in result.tool_uses] == [
        ("charge", {"id": "a"}, True),
        ("charge", {"id": "b"}, True),
    ]
    assert set(threads) == {threading.get_ident()}  # so the agent's context variables hold
    assert result.seconds >= sum(one.seconds for one in result.tool_uses)


@needs_sandbox
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "raise ValueError('no such\\ncustomer')",
            "work raised ValueError: no such customer (scripts/work.py, line 5)",
        ),
        ("assert 1 == 2", "work raised AssertionError (scripts/work.py, line 5)"),
        ("return [1]", "work: its result is not what it says that it returns: at $: [1] is not of type 'object'"),
        ("return {'x': {1}}", "work raised TypeError: a set cannot be written in JSON; return dicts, lists, texts and"),
        ("return {'x': bytearray(1 << 30)}", "work took more than 400 MB of memory"),
        ("return {'x': 'ä' * 60_000}", "work: its result takes more than 100000 bytes as JSON"),
        ("return {'x': [0] * 60_000}", "work raised ValueError: the value takes more than 100000 bytes as JSON"),
        ("return tools.get(n=1)", "work raised LookupError: no 1 (scripts/work.py, line 5)"),
        ("return tools.get(n=2)", "work raised RuntimeError: OddError: never (scripts/work.py, line 5)"),
        ("return tools.get(n=3)", "work raised TypeError: the answer of the tool get is not JSON"),
        ("return tools.get(n=4)", "work raised TypeError: the answer of the tool get takes more than 100000 bytes"),
        ("for _ in range(9): tools.get(n=0)", "work: it called tools more than 5 times; make it call fewer"),
        ("return tools.get(n={1})", "work raised TypeError: a set cannot be written in JSON"),
        ("import os\nos._exit(3)", "work: the code in the sandbox is stopped: it has ended"),
    ],
)
def test_what_goes_wrong_is_one_line(text, says):
    class OddError(Exception):
        pass

    def get(arguments):
        match arguments["n"]:
            case 0:
                return {}
            case 1:
                raise LookupError("no 1")
            case 2:
                raise OddError("never")
            case 3:
                return {"x": object()}
        return "x" * 200_000

    result = call(body(text), {"get": get})

    assert result.error.startswith(says)
    assert (result.ok, result.value, result.shown) == (False, None, result.error)
    assert result.error.isprintable()


@needs_sandbox
def test_a_function_may_handle_a_tools_error():
    def get(_):
        raise KeyError("x")

    text = "try:\n    tools.get()\nexcept KeyError as exc:\n    return {'said': str(exc)}"
    assert "x" in call(body(text), {"get": get}).value["said"]


def test_arguments_that_do_not_fit_and_tools_that_lack_start_nothing(either):
    made = package('def work(n: int) -> int:\n    """Does."""\n    return tools.get(n=n)\n', "get")
    for arguments, tools, says in (
        ({"n": "x"}, {"get": print}, "work was given wrong arguments: at $.n: 'x' is not of type 'integer'"),
        ({}, {"get": print}, "'n' is a required property"),
        ({"n": 1, "m": 2}, {"get": print}, "'m' was unexpected"),
        ({"n": {1}}, {"get": print}, "is not JSON"),
        ({"n": 1}, {}, "work needs the tool 'get', which this agent does not have"),
    ):
        result = either.run(made, "work", arguments, tools)
        assert says in result.error
        assert result.seconds == 0
    with pytest.raises(InvalidSkillError, match="no function 'other'"):
        either.run(made, "other", {}, {})


@pytest.mark.parametrize("exc", [GraphInterrupt(("approve?",)), KeyboardInterrupt(), SystemExit(3)])
def test_what_is_meant_for_the_agent_passes_unharmed(exc, either):
    def ask(_):
        raise exc

    text = "try:\n    tools.ask()\nexcept BaseException:\n    pass\nreturn {}"
    with pytest.raises(type(exc)) as caught:
        call(body(text), {"ask": ask}, runs=either)

    assert caught.value is exc
    assert call(body("return {'x': 1}"), runs=either).value == {"x": 1}


@needs_sandbox
def test_the_time_of_a_tool_does_not_count():
    waited = threading.Event()
    text = "tools.wait()\nreturn {}"

    assert call(body(text), {"wait": lambda _: waited.wait(2.2)}, FunctionLimits(seconds=2)).ok


@needs_sandbox
def test_nothing_is_left_for_the_next_run():
    text = "import builtins, sys\nfound = hasattr(builtins, 'mine')\nbuiltins.mine = 1\nopen('own', 'w')\nreturn {'found': found}"

    assert [call(body(text)).value for _ in range(3)] == [{"found": False}] * 3


@needs_sandbox
def test_a_process_that_ended_while_it_waited_is_not_used():
    text = body("return {'x': 1}")
    call(text)
    until = time.monotonic() + 60
    while not runners._pool._idle:
        assert time.monotonic() < until
        time.sleep(0.01)
    for _, box in runners._pool._idle:
        box._process._process.kill()
        box._process._process.wait()

    assert call(text).ok


@needs_sandbox
def test_a_cold_start_gives_the_same():
    assert call(body("return {'x': 1}"), runs=SandboxRunner(is_warm=False)).value == {"x": 1}


def test_a_long_result_is_cut_where_it_is_shown():
    result = CallResult(value=None, text='"' + "ä" * 5000 + '"')

    assert result.shown.startswith('"ää')
    assert result.shown.endswith("... [cut: 10002 bytes in all; have the function return less]")
    assert len(result.shown.encode()) < SHOWN_BYTES + 100


def test_where_the_machine_cannot_contain_functions_nothing_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(runners, "missing", lambda: ("network", "files", "memory"))
    mark = tmp_path / "mark"
    text = body(f"open({str(mark)!r}, 'w')\nreturn {{}}")

    with pytest.raises(ConfigurationError, match=r"cannot shut off network and files; .* 'unsafe-subprocess'"):
        call(text)
    assert not mark.exists()
    assert describe_runner("sandbox") == (True, SandboxRunner().problem)
    assert call(text, runs=runner("unsafe-subprocess")).ok  # only by that name
    assert mark.exists()


class Own:
    def run(self, package, function, arguments, tools, limits=None):
        return CallResult(value=function, text=f'"{function}"')


def test_runners_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "own_runners", types.SimpleNamespace(Own=Own, made=Own(), wrong=1))

    assert isinstance(runner(), SandboxRunner)
    assert isinstance(runner("unsafe-subprocess"), UnsafeSubprocessRunner)
    assert isinstance(runner("own_runners:Own"), Own)
    assert call(body("return {}"), runs=runner("own_runners:made")).value == "work"
    for name, says in (
        ("docker", "no runner is called 'docker'; use sandbox, unsafe-subprocess or package.module:object"),
        ("own_runners:wrong", "is not a runner: it has no run"),
        ("no_such_module:x", "cannot be imported"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            runner(name)
        assert describe_runner(name)[0] is False
    assert describe_runner("own_runners:Own") == (True, "run by 'own_runners:Own', an object of your own")
    assert "nothing else contains them" in describe_runner("unsafe-subprocess")[1]


def test_limits_that_cannot_be_say_so():
    with pytest.raises(ConfigurationError, match="tool_calls is -1"):
        FunctionLimits(tool_calls=-1)


def test_a_sandbox_calls_nobody_back_unless_it_is_asked_to():
    with Sandbox("def f(ask): return ask(1)") as box:
        with pytest.raises(SandboxError, match="set `answer`"):
            box.call("f", HOST)
        assert box.ended
    with Sandbox("def f(ask): return ask(1)", calls_back=True) as box:
        box.answer = lambda *args: [*args, 3]
        assert box.call("f", HOST) == [1, 3]


def test_a_tool_is_known_by_its_name_and_schema():
    @tool
    def refund(charge: str, cents: int = 0) -> str:
        """Refunds."""
        return charge + str(cents)

    @tool("refund")
    def reworded(charge: str, cents: int = 0) -> str:
        """Gives money back."""
        return charge + str(cents)

    @tool("refund")
    def other(charge: str, cents: float = 0) -> str:
        """Refunds."""
        return charge + str(cents)

    known = {"refund": tool_schema_hash(refund)}
    mcp = {"name": "refund", "inputSchema": {**refund.tool_call_schema.model_json_schema(), "description": "x"}}

    assert tool_schema_hash(reworded) == tool_schema_hash(mcp) == known["refund"]
    assert changed_tools(known, [reworded]) == {}
    assert "takes other arguments than when the function was tested" in changed_tools(known, [other])["refund"]
    assert "does not have" in changed_tools(known, [])["refund"]
    named = {"type": "object", "properties": {"title": {"type": "string"}}}
    assert tool_schema_hash({"name": "a", "parameters": named}) != tool_schema_hash(
        {"name": "a", "parameters": {"type": "object", "properties": {}}}
    )
    with pytest.raises(ConfigurationError, match="has no name or no schema"):
        tool_schema_hash(print)
