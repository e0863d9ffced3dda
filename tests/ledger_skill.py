"""A skill with a function that chains tools, its tests, and what is wrong with some revisions of it."""

from fakes import skill_text
from skill_plugin.records import Revision, Task

ALLOWED = "list_charges refund"
FUNCTION = '''\
def refund_duplicates(customer: str) -> list[str]:
    """Refunds what a customer paid twice; says which."""
    charges = tools.list_charges(customer=customer)
    twice = [one["id"] for at, one in enumerate(charges) if one["cents"] in [other["cents"] for other in charges[:at]]]
    for charge in twice:
        tools.refund(charge=charge)
    return twice
'''
TESTS = """\
from ledger import refund_duplicates

TOOLS = {
    "list_charges": [{"arguments": {"customer": "anna"}, "result": [{"id": "a", "cents": 5}, {"id": "b", "cents": 5}]}],
    "refund": [{"arguments": {"charge": "b"}, "result": None}],
}


def test_the_later_one_is_refunded():
    assert refund_duplicates("anna") == ["b"]
"""
SCRIPT, TEST = "scripts/ledger.py", "scripts/test_ledger.py"
FILES = {SCRIPT: FUNCTION, TEST: TESTS}
RED = {**FILES, SCRIPT: FUNCTION.replace("return twice", "return charges and []")}
VACUOUS = {**FILES, TEST: TESTS.replace('== ["b"]', '!= ["c"]')}


def text_of(body="Find what was paid twice, and refund it.", tools=ALLOWED):
    text = skill_text(body=body)
    return text.replace("\n---\n", f"\nallowed-tools: {tools}\n---\n", 1) if tools else text


def revision(files, text=None):
    made = text or text_of()
    return Revision(completion=made, text=made, files=files)


def staged(store, *revisions, group="g", parent=None):
    return store.runs.stage(Task("Refund Anna."), revisions, run_id="r", group_id=group, generation=1, parent=parent)
