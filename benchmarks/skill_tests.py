"""How many seeded bugs the tests of a skill stop, and how many vacuous tests are named.

    python benchmarks/skill_tests.py

A skill of five functions with ten tests; each of its 20 mutants has one bug, and is stopped if a test fails. Each of ten vacuous tests is
put beside the good ones, and has to be named, and none of the good ones with it. Beside it: how many of the ten a rule would name that
looks for tests without an assert.
"""

import ast
import time

from skill_plugin.functions import run_tests

ALLOWED = ("list_charges", "refund", "rate")
FUNCTIONS = '''\
def duplicates(charges: list[dict]) -> list[str]:
    """Returns the ids of charges that are there twice, but for the first of each."""
    seen, found = set(), []
    for charge in charges:
        key = (charge["customer"], charge["cents"])
        if key in seen:
            found.append(charge["id"])
        seen.add(key)
    return found


def refund_duplicates(customer: str, limit: int = 10) -> dict:
    """Refunds what a customer paid twice, at most so many charges."""
    charges = tools.list_charges(customer=customer)
    ids = duplicates(charges)[:limit]
    for one in ids:
        tools.refund(charge=one)
    return {"refunded": ids, "cents": sum(charge["cents"] for charge in charges if charge["id"] in ids)}


def in_currency(cents: int, currency: str = "EUR") -> float:
    """Returns cents in another currency, to two digits."""
    if cents < 0:
        raise ValueError("cents cannot be negative")
    return round(cents / 100 * tools.rate(currency=currency), 2)


def shares(cents: int, people: int) -> list[int]:
    """Splits cents so that the shares differ by one at most; the first ones are the larger."""
    each, left = divmod(cents, people)
    return [each + 1 if place < left else each for place in range(people)]


def reference(invoice: str, year: int, is_credit: bool = False) -> str:
    """Returns the reference of an invoice: its letters and digits, the year, C for a credit."""
    kept = "".join(char for char in invoice.upper() if char.isalnum())
    return f"{kept}-{year % 100:02d}" + ("C" if is_credit else "")
'''

TESTS = """\
from payments import duplicates, in_currency, reference, refund_duplicates, shares

TOOLS = {
    "list_charges": [
        {
            "arguments": {"customer": "anna"},
            "result": [
                {"id": "a", "customer": "anna", "cents": 500},
                {"id": "b", "customer": "anna", "cents": 500},
                {"id": "c", "customer": "anna", "cents": 700},
                {"id": "d", "customer": "anna", "cents": 500},
            ],
        },
        {"arguments": {"customer": "bob"}, "result": []},
    ],
    "refund": [
        {"arguments": {"charge": "b"}, "result": None},
        {"arguments": {"charge": "d"}, "result": None},
    ],
    "rate": [
        {"arguments": {"currency": "EUR"}, "result": 1.0},
        {"arguments": {"currency": "USD"}, "result": 1.0875},
    ],
}


def test_the_later_ones_are_duplicates():
    charges = [{"id": str(n), "customer": "x", "cents": cents} for n, cents in enumerate([1, 2, 1, 1])]
    assert duplicates(charges) == ["2", "3"]


def test_charges_of_two_customers_are_not():
    assert duplicates([{"id": "1", "customer": "x", "cents": 1}, {"id": "2", "customer": "y", "cents": 1}]) == []


def test_duplicates_are_refunded():
    assert refund_duplicates("anna") == {"refunded": ["b", "d"], "cents": 1000}
    assert [one["arguments"] for one in tools.calls() if one["tool"] == "refund"] == [{"charge": "b"}, {"charge": "d"}]


def test_the_limit_holds():
    assert refund_duplicates("anna", limit=1) == {"refunded": ["b"], "cents": 500}


def test_nothing_is_refunded_to_who_paid_nothing():
    assert refund_duplicates("bob") == {"refunded": [], "cents": 0}


def test_cents_in_another_currency():
    assert in_currency(1999, "USD") == 21.74
    assert in_currency(0) == 0


def test_negative_cents_are_refused():
    try:
        in_currency(-1)
    except ValueError:
        return
    raise AssertionError("taken")


def test_shares_add_up():
    assert shares(1000, 3) == [334, 333, 333]
    assert shares(4, 2) == [2, 2]


def test_a_reference():
    assert reference("in-20/7", 2026) == "IN207-26"


def test_a_reference_of_a_credit_in_an_early_year():
    assert reference("x1", 2005, is_credit=True) == "X1-05C"
"""

BUGS = (
    ("if key in seen:", "if key not in seen:"),
    ('(charge["customer"], charge["cents"])', '(charge["cents"],)'),
    ('(charge["customer"], charge["cents"])', '(charge["customer"],)'),
    ("        seen.add(key)\n", ""),
    ('found.append(charge["id"])', 'found.append(charge["cents"])'),
    ("[:limit]", ""),
    ("[:limit]", "[1:limit]"),
    ("tools.refund(charge=one)", 'tools.refund(charge="b")'),
    ("        tools.refund(charge=one)\n", "        pass\n"),
    ("tools.list_charges(customer=customer)", 'tools.list_charges(customer="anna")'),
    ('if charge["id"] in ids)', ")"),
    ("limit: int = 10", "limit: int = 1"),
    ("if cents < 0:", "if cents < -1:"),
    ("cents / 100", "cents // 100"),
    ("rate(currency=currency), 2)", "rate(currency=currency), 1)"),
    ("tools.rate(currency=currency)", "1"),
    ("each + 1 if place < left", "each + 1 if place <= left"),
    ("each + 1 if place < left else each", "each"),
    ("year % 100:02d", "year % 100"),
    ('"C" if is_credit else ""', '"" if is_credit else "C"'),
)

VACUOUS = (
    "def test_a():\n    assert True",
    "def test_b():\n    shares(10, 2)",
    "def test_c():\n    assert shares(10, 2) or True",
    "def test_d():\n    assert shares(10, 2) != [1]",
    "def test_e():\n    found = shares(10, 2)\n    assert isinstance(found, list) or found is None",
    "def test_f():\n    try:\n        assert shares(10, 2) == [9]\n    except AssertionError:\n        pass",
    "def test_g():\n    assert len([duplicates([])]) == 1",
    "def test_h():\n    if in_currency(100) == 7:\n        assert False",
    "def test_i():\n    expected = [5, 5]\n    assert expected == [5, 5]",
    "def test_j():\n    assert 'reference' in dir() or reference",
)


def files(functions: str = FUNCTIONS, tests: str = TESTS) -> dict[str, bytes]:
    return {"scripts/payments.py": functions.encode(), "scripts/test_payments.py": tests.encode()}


def mutant(before: str, after: str) -> dict[str, bytes]:
    if FUNCTIONS.count(before) != 1:
        raise ValueError(f"{before!r} is not there once")
    return files(FUNCTIONS.replace(before, after))


def main() -> None:
    began = time.monotonic()
    good = run_tests(files(), ALLOWED)
    print(f"as it is: {good} ({time.monotonic() - began:.1f} s)")
    stopped = [run_tests(mutant(*bug), ALLOWED) for bug in BUGS]
    for bug, report in zip(BUGS, stopped, strict=True):
        if not report.is_red:
            print(f"not stopped: {bug[0]!r} -> {bug[1]!r}")
    print(f"seeded bugs stopped: {sum(report.is_red for report in stopped)} of {len(BUGS)}")
    report = run_tests(files(tests="\n\n\n".join([TESTS, *VACUOUS])), ALLOWED)
    named = {name.rpartition(":")[2] for name in report.vacuous}
    made = {ast.parse(text).body[0].name for text in VACUOUS}  # type: ignore[attr-defined]
    without = sum(not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(text))) for text in VACUOUS)
    print(
        f"vacuous tests named: {len(named & made)} of {len(made)}; good ones named with them: {len(named - made)} of 10"
    )
    print(f"a rule that looks for tests without an assert names {without} of {len(made)}")
    print(f"{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
