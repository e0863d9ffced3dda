"""A made shop with nine tools, and eight kinds of work in it: for each a procedure in words and as a function with tests."""

import json
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

from langchain_core.tools import StructuredTool

ITEMS = ("lamp", "chair", "desk", "shelf", "rug", "clock")
WRITES = ("refund", "place_order", "send_mail", "add_note")
STEPS = "Tools, in this order:"


class Scenario(NamedTuple):
    """One kind of work. `source` is a function of its own name that does it; `bug` a change that its tests notice."""

    name: str
    asks: str
    source: str
    bug: tuple[str, str]

    @property
    def tools(self) -> list[str]:
        """The tools that its function calls, each once, in the order of the source."""
        found = sorted((self.source.find(f"tools.{name}("), name) for name in TOOLS if f"tools.{name}(" in self.source)
        return [name for _, name in found]

    @property
    def steps(self) -> str:
        return f"{STEPS} {', '.join(self.tools)}."

    @property
    def call(self) -> str:
        return f"Call {self.name}(customer) once, in place of the steps."

    def text(self, *, right: bool = True, with_function: bool = False) -> str:
        """Returns the SKILL.md: the procedure, or one that leaves its last tool out."""
        steps = self.steps if right else f"{STEPS} {', '.join(self.tools[:-1])}."
        call = f"\n\n## Function\n\n{self.call}" if with_function else ""
        allowed = f"allowed-tools: {' '.join(self.tools)}\n" if with_function else ""
        return (
            f"---\nname: {self.name.replace('_', '-')}\ndescription: {self.asks.format('a customer')}\n{allowed}---\n\n"
            f"## Steps\n\n{steps} Repeat a step for each thing that it is about.{call}\n"
        )

    def files(self, *, has_bug: bool = False, is_vacuous: bool = False) -> dict[str, str]:
        """Returns the function's file and that of its tests, whose answers a shop gave."""
        shop = Shop()
        result = self.run(shop, "Anna")
        records: dict[str, list[dict[str, Any]]] = {}
        for name, arguments, answer in shop.calls:
            records.setdefault(name, []).append({"arguments": arguments, "result": answer})
        made = [one for one in shop.calls if one[0] in WRITES]
        check = f"assert {self.name}('Anna') == {result!r}" if not is_vacuous else f"assert {self.name}('Anna') != 7"
        written = f"assert [one['arguments'] for one in tools.calls() if one['tool'] in {WRITES!r}] == {[one[1] for one in made]!r}"
        lines = [f"from work import {self.name}", "", f"TOOLS = {records!r}", "", "", "def test_it():", f"    {check}"]
        lines += [] if is_vacuous else [f"    {written}"]
        source = self.source.replace(*self.bug) if has_bug else self.source
        return {"scripts/work.py": source, "scripts/test_work.py": "\n".join(lines) + "\n"}

    def run(self, shop: "Shop", customer: str, call: Callable[..., Any] | None = None) -> Any:
        """Does the work in a shop as the function says; `call(name, arguments)` is asked instead of the shop where it is given."""
        ask = call or (lambda name, arguments: shop.use(name, **arguments))

        def tool(name: str) -> Callable[..., Any]:
            return lambda **given: ask(name, given)

        tools = SimpleNamespace(**{name: tool(name) for name in TOOLS})
        names: dict[str, Any] = {"tools": tools}
        exec(self.source, names)  # noqa: S102 - our own text, below
        return names[self.name](customer)


class Shop:
    """What the tools work on: every customer's orders and charges follow from the name. `calls` are all that was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], Any]] = []

    def use(self, tool: str, **given: Any) -> Any:
        answer = getattr(self, f"_{tool}")(**given)
        self.calls.append((tool, given, answer))
        return answer

    @property
    def written(self) -> str:
        """What was changed, as a text that a verifier can compare."""
        return json.dumps([[name, given] for name, given, _ in self.calls if name in WRITES], sort_keys=True)

    def _find_customer(self, name: str) -> dict[str, Any]:
        return {
            "id": f"c-{name.lower()}",
            "name": name,
            "city": "Ulm",
            "since": 2019,
            "mail": f"{name.lower()}@shop.example",
        }

    def _list_orders(self, customer: str) -> list[dict[str, Any]]:
        count = Random(f"orders {customer}").randint(3, 5)  # noqa: S311
        return [{"id": f"{customer}-o{n}", "status": "sent", "channel": "web"} for n in range(count)]

    def _get_order(self, order: str) -> dict[str, Any]:
        draw = Random(f"order {order}")  # noqa: S311
        return {
            "id": order,
            "item": draw.choice(ITEMS),
            "quantity": draw.randint(1, 9),
            "cents": draw.randint(5, 99) * 100,
        }

    def _list_charges(self, customer: str) -> list[dict[str, Any]]:
        draw = Random(f"charges {customer}")  # noqa: S311
        cents = [draw.randint(5, 60) * 100 for _ in range(4)]
        return [{"id": f"{customer}-p{n}", "cents": one, "card": "visa"} for n, one in enumerate([*cents, *cents[:3]])]

    def _get_stock(self, item: str) -> int:
        return Random(f"stock {item}").randint(0, 12)  # noqa: S311

    def _refund(self, charge: str) -> str:
        return f"{charge} refunded"

    def _place_order(self, customer: str, item: str, quantity: int) -> str:  # noqa: ARG002
        return f"{quantity} {item} ordered"

    def _send_mail(self, customer: str, text: str) -> str:  # noqa: ARG002
        return "sent"

    def _add_note(self, customer: str, text: str) -> str:  # noqa: ARG002
        return "noted"


TOOLS = {
    "find_customer": ("Find a customer by name; gives the id and the address.", ["name"]),
    "list_orders": ("List the orders of a customer, oldest first, by id.", ["customer"]),
    "get_order": ("Show what was ordered, how many, and the price in cents.", ["order"]),
    "list_charges": ("List what a customer was charged, oldest first.", ["customer"]),
    "refund": ("Refund a charge in full.", ["charge"]),
    "get_stock": ("Say how many of an item are in stock.", ["item"]),
    "place_order": ("Place an order for a customer.", ["customer", "item", "quantity"]),
    "send_mail": ("Send a mail to a customer.", ["customer", "text"]),
    "add_note": ("Add a note to a customer's file.", ["customer", "text"]),
}
TOOL_TEXT = json.dumps(
    [{"name": name, "description": said, "parameters": names} for name, (said, names) in TOOLS.items()]
)


def tools_of(shop: Shop) -> dict[str, StructuredTool]:
    """Returns the nine tools as LangChain has them."""

    def made(name: str) -> StructuredTool:
        said, names = TOOLS[name]
        schema = {"type": "object", "properties": {one: {} for one in names}, "required": names}
        return StructuredTool(
            name=name, description=said, args_schema=schema, func=lambda **given: shop.use(name, **given)
        )

    return {name: made(name) for name in TOOLS}


def _scenario(name: str, asks: str, body: str, bug: tuple[str, str]) -> Scenario:
    lines = "".join(f"    {line}\n" for line in body.strip().split("\n"))
    return Scenario(
        name, asks, f'def {name}(customer: str) -> dict:\n    """{asks.format("a customer")}"""\n{lines}', bug
    )


FIND = 'found = tools.find_customer(name=customer)\nwho = found["id"]\n'
ORDERS = FIND + 'orders = [tools.get_order(order=one["id"]) for one in tools.list_orders(customer=who)]\n'
SCENARIOS = (
    _scenario("refund_duplicates", "Refund every charge that {} paid twice, and write a mail.", FIND + """\
charges = tools.list_charges(customer=who)
twice = [one["id"] for at, one in enumerate(charges) if one["cents"] in [other["cents"] for other in charges[:at]]]
for charge in twice:
    tools.refund(charge=charge)
tools.send_mail(customer=who, text=f"{len(twice)} refunds")
return {"refunded": twice}""", ("charges[:at]", "charges[:at + 1]")),
    _scenario("reorder_last", "Order the last thing that {} bought once more, if the stock allows, and write a mail.", FIND + """\
last = tools.get_order(order=tools.list_orders(customer=who)[-1]["id"])
enough = tools.get_stock(item=last["item"]) >= last["quantity"]
if enough:
    tools.place_order(customer=who, item=last["item"], quantity=last["quantity"])
tools.send_mail(customer=who, text="ordered" if enough else "not in stock")
return {"ordered": enough}""", ('["quantity"]\n', '["quantity"] + 100\n')),
    _scenario("order_summary", "Send {} a mail with the sum of all orders.", ORDERS + """\
total = sum(one["cents"] for one in orders)
tools.send_mail(customer=who, text=f"{total} cents in {len(orders)} orders")
return {"cents": total}""", ('sum(one["cents"]', 'sum(one["cents"] // 1000')),
    _scenario("stock_answer", "Tell {} by mail which ordered items are still in stock.", ORDERS + """\
left = sorted({one["item"] for one in orders if tools.get_stock(item=one["item"]) > 0})
tools.send_mail(customer=who, text=", ".join(left))
return {"items": left}""", ("> 0", "> 100")),
    _scenario("refund_last", "Refund the last charge of {}, note it in the file and write a mail.", FIND + """\
last = tools.list_charges(customer=who)[-1]
tools.refund(charge=last["id"])
tools.add_note(customer=who, text=f"refunded {last['id']}")
tools.send_mail(customer=who, text=f"{last['cents']} cents are on their way")
return {"refunded": last["id"]}""", ("[-1]", "[0]")),
    _scenario("largest_order", "Note the most expensive order of {} in the file.", ORDERS + """\
most = max(orders, key=lambda one: one["cents"])
tools.add_note(customer=who, text=f"largest: {most['id']}")
return {"order": most["id"]}""", ("max(orders", "min(orders")),
    _scenario("fill_up", "Order one more of the scarcest item that {} has bought, and write a mail.", ORDERS + """\
stock = {one["item"]: tools.get_stock(item=one["item"]) for one in orders}
scarce = min(sorted(stock), key=lambda item: stock[item])
tools.place_order(customer=who, item=scarce, quantity=1)
tools.send_mail(customer=who, text=f"one {scarce} more")
return {"item": scarce}""", ("quantity=1", "quantity=2")),
    _scenario("audit", "Compare charges and orders of {} and note the difference in the file.", ORDERS + """\
charged = sum(one["cents"] for one in tools.list_charges(customer=who))
difference = charged - sum(one["cents"] for one in orders)
tools.add_note(customer=who, text=f"difference {difference}")
return {"cents": difference}""", ("charged - sum", "charged + sum")),
)  # fmt: skip
