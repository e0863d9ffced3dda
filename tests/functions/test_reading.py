"""What a file of functions may hold, and what is read off it."""

import re
import sys

import jsonschema
import pytest

from skill_functions import body, package
from skill_plugin.errors import InvalidSkillError
from skill_plugin.functions import allowed_tools, fitting, read_functions, survey_functions

REFUNDS = '''\
"""Refunds."""

import re
import typing as t
from typing import Literal, NotRequired, Optional, TypedDict

from _shared import twice

LIMITS = {"cents": 100 * 100, "ids": re.IGNORECASE | re.ASCII}


class Charge(TypedDict):
    id: str
    cents: int
    note: NotRequired[str | None]


class Late(Charge, total=False):
    days: int


def refund(customer: str, limit: int = 10, how: Literal["all", "one", 3] = "all", *, skip: Optional[list[str]] = None) -> dict[str, Charge]:
    """Refunds what is there twice.

    Says which.
    """
    return {one["id"]: tools.refund(charge=one["id"]) for one in twice(customer)}


def total(charges: "list[Late]", rate: float, exact: bool, more: t.Union[int, str, None], other: dict) -> None:
    """Adds."""


def _helper(*anything):
    yield tools.rate()


async def _later(): ...


if __name__ == "__main__":
    print(total([]))
'''
SHARED = (
    "def twice(customer):\n    return _ask(customer)\ndef _ask(who):\n    return tools.list_charges(customer=who)\n"
)
FILES = {
    "SKILL.md": b"---\n",
    "scripts/refunds.py": REFUNDS.encode(),
    "scripts/_shared.py": SHARED.encode(),
    "scripts/test_refunds.py": b"not python",
    "scripts/deep/other.py": b"not python",
    "references/other.py": b"not python",
}
ALLOWED = ("refund", "list_charges", "rate")


def test_functions_are_read_with_their_types_and_tools():
    refund, total = read_functions(FILES, ALLOWED)
    charge = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "cents": {"type": "integer"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["id", "cents"],
        "additionalProperties": False,
    }

    assert (refund.name, refund.path, refund.docstring) == (
        "refund",
        "scripts/refunds.py",
        "Refunds what is there twice.\n\nSays which.",
    )
    assert refund.parameters == {
        "type": "object",
        "properties": {
            "customer": {"type": "string"},
            "limit": {"type": "integer", "default": 10},
            "how": {"enum": ["all", "one", 3], "default": "all"},
            "skip": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}], "default": None},
        },
        "required": ["customer"],
        "additionalProperties": False,
    }
    assert refund.returns == {"type": "object", "additionalProperties": charge}
    assert refund.tools == (
        "list_charges",
        "refund",
    )  # one of them through a helper of another file; `rate` is not reached
    late = {**charge, "properties": {**charge["properties"], "days": {"type": "integer"}}}
    assert total.parameters["properties"] == {
        "charges": {"type": "array", "items": late},
        "rate": {"type": "number"},
        "exact": {"type": "boolean"},
        "more": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
        "other": {"type": "object"},
    }
    assert (total.returns, total.tools) == ({"type": "null"}, ())
    assert len(total.source_sha256) == 64


def test_nothing_of_a_skill_is_imported(monkeypatch):
    monkeypatch.setattr("builtins.exec", None)
    before = set(sys.modules)
    read_functions(FILES, ALLOWED)

    assert not {"refunds", "_shared"} & (set(sys.modules) - before)


def function(signature="x: int", returns=" -> int", doc='    """Does."""\n', inner="    return 1\n", before=""):
    return f"{before}def work({signature}){returns}:\n{doc}{inner}"


@pytest.mark.parametrize(
    ("source", "line", "says"),
    [
        ("import os\nos.getcwd()\n", 2, "only imports, constants"),
        ("X = open('x')\n", 1, "a call would run"),
        ("X = [y for y in (1, 2)]\n", 1, "ListComp"),
        ("for x in (1, 2):\n    pass\n", 1, "only imports, constants"),
        ("X = 1\nX += 1\n", 2, "only imports, constants"),
        ("class A:\n    x = print()\n", 2, "a call would run"),
        ("class A:\n    def f(self, x=print()): ...\n", 2, "a call would run"),
        ("class A(metaclass=type('x')):\n    pass\n", 1, "a call would run"),
        ("if 1:\n    pass\n", 1, "only imports, constants"),
        ("import requests\n", 1, "'requests' is not part of Python's library"),
        ("def _f():\n    import numpy.linalg\n", 2, "'numpy' is not part"),
        ("from . import other\n", 1, "relative"),
        ("from test_work import x\n", 1, "'test_work' is not part"),
        (function(signature="x"), 1, "'x' has no type"),
        (function(signature="x: tuple"), 1, "the type 'tuple' is not"),
        (function(signature="x: object"), 1, "the type 'object' is not"),
        (function(signature="x: dict[int, str]"), 1, "keys that are not texts"),
        (function(signature="x: 'list[set]'"), 1, "the type 'set' is not"),
        (function(signature="x: list[int, str]"), 1, "is not a type"),
        (function(before="class A:\n    pass\n", signature="x: A"), 3, "the type 'A' is not"),
        (function(before="class A(A):\n    pass\n", signature="x: A"), 3, "the type 'A' is not"),
        (
            function(before="from typing import *\nclass A(TypedDict):\n    a: 'A'\n", signature="x: A"),
            3,
            "holds itself",
        ),
        (function(signature="x: int = -1.5"), 1, "the default of 'x' is not of its type"),
        (function(signature="x: float = 1e999"), 1, "the default of 'x' is not a value of JSON"),
        (function(before="Y = 1\n", signature="x: int = Y"), 2, "the default of 'x' is not a value of JSON"),
        (function(returns=""), 1, "does not say what it returns"),
        (function(doc=""), 1, "no docstring"),
        (function(signature="*x: int"), 1, "takes * or **"),
        (function(signature="**x: int"), 1, "takes * or **"),
        (function(signature="x: int, /"), 1, "by place alone"),
        (function(inner="    yield 1\n"), 1, "is a generator"),
        ("import functools\n@functools.cache\n" + function(), 3, "has a decorator"),
        ("async " + function(), 1, "is async"),
        (function() + function(), None, "'work' is defined twice"),
        (function(inner="    return tools.wipe()\n"), 3, "'wipe' is not among the skill's allowed-tools (rate)"),
        (function(inner="    return tools.rate(1)\n"), 3, "by name"),
        (function(inner="    return getattr(tools, 'rate')()\n"), 3, "tools can only be called"),
        (function(inner="    t = tools\n"), 3, "tools can only be called"),
        (function(inner="    return tools\n"), 3, "tools can only be called"),
        (function(inner="    return list(map(tools.rate, [1]))\n"), 3, "tools can only be called"),
        (function(inner="    return tools.rate.__self__\n"), 3, "tools can only be called"),
        (function(inner="    return tools.__getattr__('x')\n"), 3, "tools can only be called"),
        (function(inner="    tools = 1\n"), 3, "tools can only be called"),
        (function(signature="tools: int"), 1, "stands for the agent's tools"),
        (function(inner="    import tools\n"), 3, "'tools' is not part"),
        (function(inner="    import os as tools\n"), 3, "stands for the agent's tools"),
        (function(inner="    global tools\n"), 3, "stands for the agent's tools"),
        (function(inner="    match x:\n        case tools: pass\n"), 4, "stands for the agent's tools"),
        ("def f(:\n", 1, "it is not Python"),
        ("X = '\0'\n", None, "it is not Python|cannot be read"),
        ("X = " + "-" * 50_000 + "1\n", None, "cannot be read|nested"),
        ("X = " + "1+" * 50_000 + "1\n", None, "cannot be read|nested"),
        ("#" * 300_000, None, "has at most 262144"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_line(source, line, says):
    with pytest.raises(InvalidSkillError, match=r"scripts/work\.py") as caught:
        package(source, "rate")

    assert any(one in str(caught.value) for one in says.split("|"))
    assert line is None or f"line {line}:" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("scripts/json.py", "'json' is the name of another module"),
        ("scripts/my-work.py", "rename the file"),
        ("scripts/../../x.py", "leads out of the skill's folder"),
        ("/etc/passwd", "leads out of the skill's folder"),
    ],
)
def test_a_file_has_the_name_of_a_module_inside_of_the_folder(path, says):
    with pytest.raises(InvalidSkillError, match=says):
        package("", **{path: ""})


def test_what_is_not_utf_8_is_refused():
    with pytest.raises(InvalidSkillError, match=r"scripts/x\.py is not a text in UTF-8"):
        read_functions({"scripts/x.py": b"\xff\xfe"}, ())


def test_an_operator_names_packages():
    source = b"import numpy as np\n" + function().encode()

    assert [one.name for one in read_functions({"scripts/work.py": source}, (), packages=("numpy",))] == ["work"]


def test_two_files_may_not_define_one_name():
    with pytest.raises(InvalidSkillError, match="'work' is defined twice"):
        package(function(), **{"scripts/other.py": function()})


def test_an_ordinary_script_costs_its_own_functions_alone():
    files = {"scripts/good.py": function().encode(), "scripts/plain.py": b"import sys\nprint(sys.argv)\n"}
    survey = survey_functions(files, ())

    assert [one.name for one in survey.functions] == ["work"]
    assert list(survey.refused) == ["scripts/plain.py"]
    assert "line 2" in survey.refused["scripts/plain.py"]


def test_a_function_that_a_skill_lacks_is_named_with_those_that_it_has():
    with pytest.raises(InvalidSkillError, match="no function 'other'; it has: work"):
        package(body("return {}")).function("other")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ()),
        (
            "Read Bash(git:*) mcp__shop.refund, Read",
            ("Read", "mcp__shop.refund"),
        ),  # nothing holds a function to a part of Bash
        (["a", "b c"], ("a", "b", "c")),
        ("", ()),
    ],
)
def test_allowed_tools_are_names(given, names):
    assert allowed_tools({} if given is None else {"allowed-tools": given}) == names


@pytest.mark.parametrize("given", [7, {"a": 1}, [["a"]], "a <b>"])
def test_allowed_tools_that_are_not_names_are_refused(given):
    with pytest.raises(InvalidSkillError, match="write the names of tools"):
        allowed_tools({"allowed-tools": given})


@pytest.mark.parametrize(
    ("schema", "right", "wrong", "says"),
    [
        ({"type": "integer"}, [0, -1], [True, 1.5, "1", None], "is not of type 'integer'"),
        ({"type": "number"}, [0, 1.5], [False, "1"], "is not of type 'number'"),
        ({"enum": [1, "a", None]}, [1, "a", None], [True, "b", 1.0], "is not one of"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, ["", None], [1], "is of none of its types"),
        ({"type": "array", "items": {"type": "boolean"}}, [[], [True]], [[True, 1]], r"at \$\[1\]: 1 is not"),
        ({"type": "object", "additionalProperties": {"type": "null"}}, [{}, {"a": None}], [{"a": 1}], r"at \$\.a: 1"),
        (
            {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"], "additionalProperties": False},
            [{"a": None}],
            [{}, {"a": None, "b": 1}],
            "'a' is a required property|'b' was unexpected",
        ),
        ({}, [1, None, {}], [], ""),
    ],
)
def test_values_are_held_to_their_schema_as_jsonschema_would(schema, right, wrong, says):
    assert [fitting.problem(schema, one) for one in right] == [""] * len(right)
    for one in wrong:
        assert re.search(says, fitting.problem(schema, one))
    validator = jsonschema.Draft202012Validator(schema)
    assert all(map(validator.is_valid, right))
    assert not any(validator.is_valid(one) for one in wrong if not isinstance(one, float))  # there 1.0 is 1
