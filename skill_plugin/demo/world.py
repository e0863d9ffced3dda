"""The world of the simulated models: their system prompt, a person's first notes, and the judge."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from skill_plugin import verifiers
from skill_plugin.demo import business
from skill_plugin.demo.conventions import TRUTH
from skill_plugin.demo.questions import understand_question
from skill_plugin.errors import VerifierError
from skill_plugin.records import Task, Verdict

DATABASE = "business.db"

SYSTEM_PROMPT = f"You answer questions about a business with one SQLite query. The schema:\n\n{business.SCHEMA}"

STARTERS = (
    ("revenue", "Amounts (`orders.total`) are in cents: divide by 100 to get dollars."),
    ("customer-tiers", "Codes of `customers.tier`: gold = 'A', silver = 'B', bronze = 'C'."),
)
"""Notes of a person from before the agent began: true, and not enough."""


def judge(database: Path) -> Callable[[Task, str], Verdict]:
    """Returns a judge that works like `sql_rows` for a question that comes without the right SQL."""
    rows = verifiers.sql_rows(str(database))

    def demonstration(task: Task, answer: str) -> Verdict:
        understood = understand_question(task.input)
        if understood is None:
            raise VerifierError(
                f"{task.input[:60]!r} is not a question of the demonstration, the only ones that the simulated model "
                "understands; ask one of them, or set SKILL_PLUGIN_MODEL"
            )
        template, slots = understood
        return rows.verify(replace(task, reference=template.sql(slots, TRUTH)), answer)

    return demonstration
