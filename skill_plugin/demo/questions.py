"""Questions in plain English about the business, in families, each with the SQL that a set of conventions leads to."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from skill_plugin import verifiers
from skill_plugin.demo.business import CATEGORIES, REGIONS, SITES
from skill_plugin.demo.conventions import TRUTH, Conventions
from skill_plugin.records import Split, Task

Slots = dict[str, str]

SLOTS: dict[str, tuple[str, ...]] = {
    "region": REGIONS,
    "site": SITES,
    "category": CATEGORIES,
    "status": ("placed", "shipped", "delivered", "cancelled"),
    "tier": ("gold", "silver", "bronze"),
    "prio": ("urgent", "normal", "low"),
    "ticket": ("open", "waiting", "closed"),
    "month": tuple(map(str, range(1, 13))),
    "year": ("2024", "2025"),
}


@dataclass(frozen=True)
class Template:
    """One way to ask. `sql` writes the query under some conventions; `needs` names the rules that it takes to be right."""

    family: str
    text: str
    needs: tuple[str, ...]
    sql: Callable[[Slots, Conventions], str]

    def match(self, question: str) -> Slots | None:
        pattern = re.sub(
            r"\\{(\w+)\\}", lambda slot: f"(?P<{slot[1]}>{'|'.join(SLOTS[slot[1]])})", re.escape(self.text)
        )
        found = re.fullmatch(pattern, question.strip())
        return found.groupdict() if found else None

    def slots(self) -> list[Slots]:
        """Returns every way to fill the text."""
        names = re.findall(r"{(\w+)}", self.text)
        return [dict(zip(names, values, strict=True)) for values in product(*(SLOTS[name] for name in names))]


def _where(*conditions: str | None) -> str:
    given = [condition for condition in conditions if condition]
    return f" WHERE {' AND '.join(given)}" if given else ""


def _kept(conventions: Conventions, *tables: str) -> str | None:
    if conventions.deleted_flag is None:
        return None
    return " AND ".join(f"{table}.x_del <> {conventions.deleted_flag}" for table in tables)


def _counted(conventions: Conventions) -> str | None:
    return None if conventions.cancelled is None else f"o.st <> {conventions.cancelled}"


def _dollars(conventions: Conventions, aggregate: str) -> str:
    return f"ROUND({aggregate}(o.total) / {conventions.money_divisor}.0, 2)"


def _fiscal_month(slots: Slots, conventions: Conventions) -> str:
    month = int(slots["month"]) + conventions.fiscal_start - 2
    return f"substr(o.placed_on, 1, 7) = '{int(slots['year']) + month // 12}-{month % 12 + 1:02d}'"


def _units(conventions: Conventions) -> str:
    return "k.qty * p.pack" if conventions.stock_in_packs else "k.qty"


def _not_test(conventions: Conventions) -> str | None:
    return None if conventions.test_kind is None else f"c.kind <> '{conventions.test_kind}'"


_ORDERS = "FROM orders o JOIN customers c ON c.id = o.customer_id"

TEMPLATES = (
    Template(
        "revenue",
        "What is our total revenue in dollars from customers in the {region} region in {year}?",
        ("money", "deleted", "cancelled"),
        lambda s, c: (
            f"SELECT {_dollars(c, 'SUM')} {_ORDERS}"
            + _where(
                f"c.region = '{s['region']}'",
                f"substr(o.placed_on, 1, 4) = '{s['year']}'",
                _kept(c, "o", "c"),
                _counted(c),
            )
        ),
    ),
    Template(
        "revenue",
        "What is the average order value in dollars for {tier} customers in the {region} region?",
        ("money", "deleted", "cancelled", "customers.tier"),
        lambda s, c: (
            f"SELECT {_dollars(c, 'AVG')} {_ORDERS}"
            + _where(
                f"c.tier = {c.code('customers.tier', s['tier'])}",
                f"c.region = '{s['region']}'",
                _kept(c, "o", "c"),
                _counted(c),
            )
        ),
    ),
    Template(
        "order-status",
        "How many orders of customers in the {region} region are {status}?",
        ("orders.st", "deleted"),
        lambda s, c: (
            f"SELECT COUNT(*) {_ORDERS}"
            + _where(f"c.region = '{s['region']}'", f"o.st = {c.code('orders.st', s['status'])}", _kept(c, "o", "c"))
        ),
    ),
    Template(
        "order-status",
        "How many of the orders placed in {year} are {status}?",
        ("orders.st", "deleted"),
        lambda s, c: (
            "SELECT COUNT(*) FROM orders o"
            + _where(
                f"substr(o.placed_on, 1, 4) = '{s['year']}'",
                f"o.st = {c.code('orders.st', s['status'])}",
                _kept(c, "o"),
            )
        ),
    ),
    Template(
        "fiscal-calendar",
        "How many orders came in during fiscal month {month} of fiscal year {year}?",
        ("fiscal", "deleted"),
        lambda s, c: "SELECT COUNT(*) FROM orders o" + _where(_fiscal_month(s, c), _kept(c, "o")),
    ),
    Template(
        "fiscal-calendar",
        "How much did we turn over, in dollars, in fiscal month {month} of fiscal year {year}?",
        ("fiscal", "money", "deleted", "cancelled"),
        lambda s, c: (
            f"SELECT {_dollars(c, 'SUM')} FROM orders o" + _where(_fiscal_month(s, c), _kept(c, "o"), _counted(c))
        ),
    ),
    Template(
        "customer-tiers",
        "How many {tier} customers do we have in the {region} region?",
        ("customers.tier", "tests", "deleted"),
        lambda s, c: (
            "SELECT COUNT(*) FROM customers c"
            + _where(
                f"c.tier = {c.code('customers.tier', s['tier'])}",
                f"c.region = '{s['region']}'",
                _not_test(c),
                _kept(c, "c"),
            )
        ),
    ),
    Template(
        "customer-tiers",
        "Which {tier} customers are there in the {region} region? Give their names.",
        ("customers.tier", "tests", "deleted"),
        lambda s, c: (
            "SELECT c.name FROM customers c"
            + _where(
                f"c.tier = {c.code('customers.tier', s['tier'])}",
                f"c.region = '{s['region']}'",
                _not_test(c),
                _kept(c, "c"),
            )
        ),
    ),
    Template(
        "stock-units",
        "How many units of {category} are in stock at {site}?",
        ("packs", "deleted"),
        lambda s, c: (
            f"SELECT SUM({_units(c)}) FROM stock k JOIN products p ON p.sku = k.sku"
            + _where(f"p.category = '{s['category']}'", f"k.site = '{s['site']}'", _kept(c, "p"))
        ),
    ),
    Template(
        "stock-units",
        "How many units does the best stocked product of {category} have at {site}?",
        ("packs", "deleted"),
        lambda s, c: (
            f"SELECT MAX({_units(c)}) FROM stock k JOIN products p ON p.sku = k.sku"
            + _where(f"p.category = '{s['category']}'", f"k.site = '{s['site']}'", _kept(c, "p"))
        ),
    ),
    Template(
        "support-tickets",
        "How many {prio} support tickets are {ticket}?",
        ("tickets.prio", "tickets.st", "deleted"),
        lambda s, c: (
            "SELECT COUNT(*) FROM tickets t"
            + _where(
                f"t.prio = {c.code('tickets.prio', s['prio'])}",
                f"t.st = {c.code('tickets.st', s['ticket'])}",
                _kept(c, "t"),
            )
        ),
    ),
    Template(
        "support-tickets",
        "How many support tickets from the {region} region are {ticket}?",
        ("tickets.st", "deleted"),
        lambda s, c: (
            "SELECT COUNT(*) FROM tickets t JOIN customers c ON c.id = t.customer_id"
            + _where(f"c.region = '{s['region']}'", f"t.st = {c.code('tickets.st', s['ticket'])}", _kept(c, "t", "c"))
        ),
    ),
)

FAMILIES = tuple(dict.fromkeys(template.family for template in TEMPLATES))


def understand_question(question: str) -> tuple[Template, Slots] | None:
    """Returns the template and slots of a question; None for a question of another kind."""
    for template in TEMPLATES:
        if (slots := template.match(question)) is not None:
            return template, slots
    return None


def stream(database: Path, *, per_family: int = 12, heldout: int = 4, seed: int = 7) -> list[Task]:
    """Returns the tasks, families in turn: `per_family` for training and `heldout` for the gate in every family."""
    rng = random.Random(seed)  # noqa: S311 - sample data, not a secret
    verifier = verifiers.spec(verifiers.sql_rows(str(database)))
    families = [list(_tasks(family, per_family, heldout, verifier, rng)) for family in FAMILIES]
    return [task for turn in zip(*families, strict=True) for task in turn]


def _tasks(
    family: str, per_family: int, heldout: int, verifier: dict[str, object] | None, rng: random.Random
) -> Iterator[Task]:
    pools = [(template, template.slots()) for template in TEMPLATES if template.family == family]
    for _, pool in pools:
        rng.shuffle(pool)
    for number in range(per_family + heldout):
        template, pool = pools[number % len(pools)]
        slots = pool.pop()
        split: Split = "train" if number < per_family else "heldout"
        reference = template.sql(slots, TRUTH)
        yield Task(template.text.format(**slots), family=family, reference=reference, verifier=verifier, split=split)
