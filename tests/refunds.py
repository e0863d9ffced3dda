"""A skill with a function that calls the agent's tools, and a shop with those tools, for tests."""

from typing import Any

from langchain.tools import tool

from skill_plugin.store import allow_functions, keep_checks

REFUNDS = '''
def refund_duplicates(customer: str) -> dict[str, list[str]]:
    """Refunds every charge of a customer that is there twice; says which."""
    seen, done = set(), []
    for charge in tools.list_charges(customer=customer):
        if charge["cents"] in seen:
            tools.refund(charge=charge["id"])
            done.append(charge["id"])
        seen.add(charge["cents"])
    return {"refunded": done}
'''
TESTS = """
from refunds import refund_duplicates

TOOLS = {
    "list_charges": [{"arguments": {"customer": "x"}, "result": [{"id": "a", "cents": 5}, {"id": "b", "cents": 5}]}],
    "refund": [{"arguments": {"charge": "b"}, "result": "done"}],
}


def test_the_later_charge_is_refunded():
    assert refund_duplicates("x") == {"refunded": ["b"]}
"""
TEXT = """---
name: {name}
description: How to refund a duplicate charge
allowed-tools: list_charges refund
---

Call refund_duplicates with the customer's name.
"""
ASK = {"messages": [("user", "refund what anna was charged twice")]}


def add_refunds(store, name="refunds", *, source=REFUNDS, tests=TESTS, allow=True):
    """A live skill with a function that an operator allowed, as if its tests had been run."""
    files = {"scripts/refunds.py": source, **({"scripts/test_refunds.py": tests} if tests else {})}
    skill = store.add_text(TEXT.format(name=name), files=files)
    if allow:
        keep_checks(store, skill.ref, {"passed": 1, "total": 1, "failures": [], "vacuous": [], "untested": []})
        allow_functions(store, skill.ref, reason="read by the tests")
    return skill


class Shop:
    """Charges of customers, and the tools of an agent of the shop."""

    def __init__(self) -> None:
        self.charges = {"anna": [{"id": "c1", "cents": 500}, {"id": "c2", "cents": 500}, {"id": "c3", "cents": 700}]}
        self.refunded: list[str] = []

    @property
    def tools(self) -> list[Any]:
        @tool
        def list_charges(customer: str) -> list[dict[str, Any]]:
            """Lists the charges of a customer."""
            return self.charges[customer]

        @tool
        def refund(charge: str) -> str:
            """Refunds a charge."""
            self.refunded.append(charge)
            return "done"

        return [list_charges, refund]


def tool_answers(output):
    """The answers of tools in an agent's output, each with its name and status."""
    return [(one.name, one.status, one.text) for one in output["messages"] if one.type == "tool"]
