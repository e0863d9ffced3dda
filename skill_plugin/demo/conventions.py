"""The house conventions, as a reader of a skill's text understands them.

`understand` reads rules out of a text and takes them at their word: a text with a wrong code gives wrong SQL. A
rule that a text does not state stays at the guess that anyone would make from the schema.
"""

import calendar
import re
from dataclasses import dataclass, field

_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}


@dataclass(frozen=True)
class Conventions:
    """The house rules as far as they are known; the defaults are guesses."""

    money_divisor: int = 1
    deleted_flag: int | None = None
    cancelled: int | None = None
    fiscal_start: int = 1
    test_kind: str | None = None
    stock_in_packs: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def code(self, column: str, word: str) -> str:
        """Returns the SQL literal for a word of English in a coded column."""
        return self.codes.get(column, {}).get(word, f"'{word}'")


HANDBOOK = {
    "money": "- Amounts (`orders.total`) are in cents: divide by 100 to get dollars.",
    "deleted": "- Rows with `x_del = 1` are deleted: exclude them, in every table that has the flag.",
    "cancelled": "- Revenue and order value leave out cancelled orders, `orders.st = 90`.",
    "fiscal": "- The fiscal year starts in April: fiscal month 1 of fiscal year 2025 is April 2025, month 12 is March 2026.",
    "tests": "- Customers with `kind = 'T'` are test accounts: exclude them.",
    "packs": "- `stock.qty` counts packs: multiply by `products.pack` to get units.",
    "orders.st": "- Codes of `orders.st`: placed = 20, shipped = 35, delivered = 40, cancelled = 90.",
    "customers.tier": "- Codes of `customers.tier`: gold = 'A', silver = 'B', bronze = 'C'.",
    "tickets.prio": "- Codes of `tickets.prio`: urgent = 9, normal = 5, low = 1.",
    "tickets.st": "- Codes of `tickets.st`: open = 1, waiting = 2, closed = 7.",
}
"""The handbook of the simulated editor: the sentence for each rule."""


def understand(text: str) -> Conventions:
    """Returns the rules that a text states."""
    divisor = re.search(r"in cents[^.\n]*?divide by (\d+)", text)
    deleted = re.search(r"`x_del = (\d)`[^.\n]*?\bexclude", text)
    cancelled = re.search(r"leave out cancelled orders, `orders\.st = (\d+)`", text)
    fiscal = re.search(r"fiscal year starts in (\w+)", text)
    tests = re.search(r"`kind = '(\w)'`[^.\n]*?test accounts[^.\n]*?exclude", text)
    return Conventions(
        money_divisor=int(divisor[1]) if divisor else 1,
        deleted_flag=int(deleted[1]) if deleted else None,
        cancelled=int(cancelled[1]) if cancelled else None,
        fiscal_start=_MONTHS.get(fiscal[1].lower(), 1) if fiscal else 1,
        test_kind=tests[1] if tests else None,
        stock_in_packs=bool(re.search(r"`stock\.qty`[^.\n]*?packs[^\n]*?multiply", text)),
        codes={
            column: dict(re.findall(r"(\w+) = ('\w+'|\d+)", values))
            for column, values in re.findall(r"Codes of `([\w.]+)`: ([^.\n]+)", text)
        },
    )


TRUTH = understand("\n".join(HANDBOOK.values()))


def missing(text: str, needed: tuple[str, ...]) -> list[str]:
    """Returns the needed rules of the handbook that the text does not state as the handbook does."""
    known, rules = understand(text), {}
    for key in needed:
        alone = understand(HANDBOOK[key])
        rules[key] = all(
            getattr(known, name) == getattr(alone, name)
            for name in ("money_divisor", "deleted_flag", "cancelled", "fiscal_start", "test_kind", "stock_in_packs")
            if getattr(alone, name) != getattr(Conventions(), name)
        ) and all(known.codes.get(column) == codes for column, codes in alone.codes.items())
    return [key for key in needed if not rules[key]]
