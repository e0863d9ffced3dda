"""Proofs on families of tasks that each need a text of their own: one name for all, and a stream of nights. Not run itself.

The simulated agent is right if its guidance holds the family's rule, or the answer of this very case.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving import Options, facts, interval, luck, passed, served
from sums import VAGUE, Scripted, night

from skill_plugin import verifiers
from skill_plugin.budget import Budget
from skill_plugin.graphs import EvolveSettings
from skill_plugin.records import Generation, Task
from skill_plugin.store import SkillStore

FAMILIES: dict[str, tuple[str, str]] = {
    "invoices": ("Invoice {n} of a wholesale customer is overdue: which reminder is sent?", "Reminders of overdue invoices"),
    "vaccines": ("Patient {n} asks the clinic for a flu vaccine: which dose is given?", "Doses of flu vaccines for patients"),
    "flights": ("Flight {n} was cancelled by the airline: what do its passengers get?", "Refunds of cancelled flights"),
    "roses": ("Rose bush {n} in the garden has black spots: what is it sprayed with?", "Sprays for spots on garden roses"),
    "bridges": ("Bridge {n} over the river has cracked concrete: what is repaired first?", "Repairs of cracked bridges"),
    "violins": ("Violin {n} in the workshop has a buzzing string: what is adjusted?", "Adjusting violins that buzz"),
    "bakery": ("Batch {n} of sourdough bread did not rise in the oven: what is changed?", "Sourdough bread that does not rise"),
    "servers": ("Web server {n} has run out of memory: which process is restarted?", "Servers that run out of memory"),
    "visas": ("Student {n} applies for a visa at the embassy: which form is filled in?", "Visa forms for students"),
}  # fmt: skip
"""The question of a case, and a description that fits."""

WHERE = ("Oslo", "Lagos", "Porto", "Kyoto", "Lyon", "Brno", "Beirut", "Bergen", "Busan", "Turin")
WHO = ("the mayor", "a new colleague", "the evening shift", "our auditor", "a school class", "the harbour master")
WHY = (
    "before the holidays begin",
    "because the phone was out of order",
    "after last week's storm",
    "and wants it in writing",
    "for the third time this year",
    "while the manager is away",
    "though it was not planned",
)
"""Further details of a case: real tasks of a kind are not copies of each other."""

_CASE = re.compile(r"\d+")


def rule(family: str) -> str:
    return f"Follow the rule of the {family} office."


def desk(family: str) -> str:
    """Returns a name that says nothing of the family: what a skill is for stands in its description."""
    return f"desk-{list(FAMILIES).index(family) + 1}"


def solution(case: str) -> str:
    return f"The solution of case {case} is {int(case) * 7 + 1}."


def cases(family: str, numbers: Sequence[int], split: Any) -> list[Task]:
    return [Task(question(family, n), family=family, reference=f"{family} {n}", split=split) for n in numbers]


def question(family: str, n: int) -> str:
    draw = luck(family, n)
    asked = FAMILIES[family][0].format(n=n)
    return f"{asked} {draw.choice(WHO).capitalize()} in {draw.choice(WHERE)} asks for it {draw.choice(WHY)}."


def clerk(right: Callable[[str], bool] = lambda _asked: True) -> Callable[[Any], str]:
    """Makes the simulated agent; `right` says whether a rule helps this time."""

    def answer(given: Any) -> str:
        asked, guidance = given["task"], given["guidance"]
        number = _CASE.findall(asked)[0]
        family = next(name for name, (begins, _) in FAMILIES.items() if asked.startswith(begins.format(n=number)))
        knows = solution(number) in guidance or (rule(family) in guidance and right(asked))
        return f"{family} {number}" if knows else "I do not know"

    return answer


def skill(name: str, description: str, body: str) -> str:
    return f"---\nname: {name}\ndescription: {description}.\n---\n\n{body}\n"


def one_name(
    options: Options,
    *,
    families: int = 9,
    train: int = 6,
    heldout: int = 4,
    unseen: int = 2,
    name: str | None = "owner-facts",
) -> dict[str, Any]:
    """Runs one night over families whose texts all get one name; without a name each gets its own."""
    names = list(FAMILIES)[:families]
    tasks = [task for family in names for task in cases(family, range(10, 10 + train), "train")]
    tasks += [task for family in names for task in cases(family, range(50, 50 + heldout), "heldout")]
    new = {family: cases(family, range(80, 80 + unseen), "heldout") for family in names}

    def write(task: Task, _history: Sequence[Generation], n: int) -> list[tuple[int, str]]:
        text = skill(name or task.family, FAMILIES[task.family][1], rule(task.family))
        return [(1, text)] * n

    with options.store() as store:
        result = night(store, tasks, clerk(), Scripted(write), options.settings())
        solved = {
            family: passed(served(store, clerk(), asked, verifiers.exact_match())) for family, asked in new.items()
        }
        live = len(store.list("live"))
    return facts(
        families_solved=sum(solved[family] == unseen for family in names),
        of=families,
        tasks_solved=sum(solved.values()),
        tasks=families * unseen,
        live_skills=live,
        promotions=len(result.accepted),
        refusals=len(result.refused),
    )


ALL_AT_ONCE = 1_000_000
"""More lineages than a family has tasks."""

OFF: dict[str, Any] = {
    "siblings": 0, "credit": "skill-r1", "minibatch": 1, "adaptive": False, "lineages": ALL_AT_ONCE, "order": "file"
}  # fmt: skip
PARTS: dict[str, dict[str, Any]] = {
    "none": {**OFF},
    "siblings": {**OFF, "siblings": 4, "credit": "evolving-rl"},
    "sage credit": {**OFF, "siblings": 4, "credit": "sage"},
    "minibatch": {**OFF, "minibatch": 3},
    "adaptive": {**OFF, "adaptive": True},
    "lineages": {**OFF, "lineages": 1},
    "half-solved": {**OFF, "order": "half-solved"},
    "defaults": {},
    "no siblings": {"siblings": 0, "credit": "skill-r1"},
    "no minibatch": {"minibatch": 1},
    "not adaptive": {"adaptive": False},
}
"""The parts to switch on, and then off, as changes to the defaults; a setting that this version lacks is left out.

The gate through retrieval has no switch: it is compared with what an earlier commit wrote to its `--json`.
"""


@dataclass(frozen=True)
class World:
    """The size of a stream, a night's calls, how often a rule is right, shares of texts that leak or describe badly."""

    families: int = 6
    nights: int = 2
    train: int = 3
    heldout: int = 6
    unseen: int = 10
    calls: int = 500
    right: float = 0.75
    bad: float = 1 / 3


def stream(options: Options, *, parts: Sequence[str] = tuple(PARTS), world: World = World()) -> dict[str, Any]:
    """Runs nights of new tasks of six families for each part; a third of the texts leak, a third describe badly."""
    seeds, runs = options.seeds or 5, {}
    seen: dict[EvolveSettings, str] = {}
    for part in parts:
        settings = options.settings(**PARTS[part])
        if (same := seen.setdefault(settings, part)) != part:  # this version has none of the part's settings
            runs[part] = runs[same]
            continue
        runs[part] = [_stream(options, settings, seed, world) for seed in range(seeds)]
        print(f"  stream, {part}: {runs[part]}", flush=True)
    return {part: _summary(runs[part], runs[parts[0]]) for part in parts}


class _Author:
    """Writes texts of which a share leaks and a share describes badly."""

    def __init__(self, seed: int, bad: float) -> None:
        self._seed, self._bad, self._written = seed, bad, Counter[str]()

    def __call__(self, task: Task, _history: Sequence[Generation], n: int) -> list[tuple[int, str]]:
        return [self._text(task) for _ in range(n)]

    def _text(self, task: Task) -> tuple[int, str]:
        self._written[task.id] += 1
        number = self._written[task.id]
        drawn, name = luck(self._seed, task.id, number).random(), desk(task.family)
        if drawn < self._bad:
            return 1, skill(name, FAMILIES[task.family][1], solution(_CASE.findall(task.input)[0]))
        description = VAGUE.rstrip(".") if drawn < 2 * self._bad else FAMILIES[task.family][1]
        return 2, skill(name, description, f"{rule(task.family)}\nText {number} from {_CASE.findall(task.input)[0]}.")


def _stream(options: Options, settings: EvolveSettings, seed: int, world: World) -> dict[str, Any]:
    names = luck(seed).sample(list(FAMILIES), world.families)
    author, asked, calls = _Author(seed, world.bad), Counter[str](), Counter[str]()

    def helps(question: str) -> bool:
        asked[question] += 1
        return luck(seed, question, asked[question]).random() < world.right

    def drawn(part: int, count: int, split: str) -> list[Task]:
        first = 1000 * (seed + 1) + 100 * part
        return [task for family in names for task in cases(family, range(first, first + count), split)]

    with options.store() as store:
        for number in range(world.nights):
            tasks = [*drawn(number, world.train, "train"), *drawn(8, world.heldout, "heldout")]
            spent = night(
                store, tasks, clerk(helps), Scripted(author), settings, budget=Budget(calls=world.calls)
            ).spending
            if spent is not None:
                calls += Counter(agent=spent.task.calls, writer=spent.generator.calls)
        new = drawn(9, world.unseen, "heldout")
        outputs = served(store, clerk(helps), new, verifiers.exact_match())
        shown = sum(rule(task.family) in _text_of(store, one["skill"]) for task, one in zip(new, outputs, strict=True))
        solved, live = passed(outputs) / len(new), len(store.list("live"))
    return facts(
        solved=solved,
        got_the_rule=shown / len(new),
        live=live,
        calls=calls.total(),
        agent=calls["agent"],
        writer=calls["writer"],
    )


def _text_of(store: SkillStore, ref: str | None) -> str:
    return store.get(ref).text if ref else ""


def _summary(runs: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns means, and a part's lead over the first one, seed by seed, with half the width of its 95 % interval."""
    solved, half = interval([run["solved"] for run in runs])
    ahead, ahead_half = interval([run["solved"] - other["solved"] for run, other in zip(runs, base, strict=True)])
    means = {name: interval([run[name] for run in runs])[0] for name in ("got_the_rule", "calls", "writer", "live")}
    return facts(solved=solved, half_95=half, ahead=ahead, ahead_half_95=ahead_half, **means)
