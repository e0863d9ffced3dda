"""A simulated house with hidden conventions: tasks, a scripted agent, a scripted writer, a verifier. Not run itself.

A family of tasks is a kind of paper (invoices, parcels, ...) with six fields, and each field has a value that the house wants and
nobody is told. A task names two of the six; it passes if both have the house's value, so rewards are all or nothing. The agent
writes what it reads in the rules that it is shown and `?` elsewhere. The verifier's feedback names one broken field and its value.

The writer keeps the rules that the text before it had, and adds at most two of those that the feedback it is shown names and that the
text does not have right. In the share `error` of its texts it spoils one of those that it adds. Both sides of a comparison use it: one
text is `wrote(rules, feedback, ...)`, whatever the feedback was collected from.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from serving import luck

from skill_plugin.records import Generation, Revision, Task, Verdict
from skill_plugin.skills.skill_md import parse

FIELDS: dict[str, tuple[str, ...]] = {
    "invoice": ("currency", "rounding", "reference", "greeting", "footer", "deadline"),
    "parcel": ("carrier", "label", "wrapping", "insurance", "route", "stamp"),
    "menu": ("starter", "portion", "allergens", "price", "wine", "dessert"),
    "lesson": ("opening", "exercise", "homework", "grading", "seating", "handout"),
    "repair": ("diagnosis", "lubricant", "warranty", "torque", "trial", "receipt"),
}
"""The kinds of papers and their fields."""

CLIENTS = ("Hansen", "Okafor", "Silva", "Tanaka", "Moreau", "Novak", "Haddad", "Larsen", "Kim", "Rossi")
CITIES = ("Oslo", "Lagos", "Porto", "Kyoto", "Lyon", "Brno", "Beirut", "Bergen", "Busan", "Turin")
ADDS = 2
"""Rules that one text adds, at most."""

_TASK = re.compile(r"Prepare (\w+) .*Settle its (\w+) and its (\w+)\.")
_RULE = re.compile(r"^- (\w+ \w+): (\S+)$", re.MULTILINE)
_FEEDBACK = re.compile(r"the (\w+ \w+) is wrong: the house wants (\S+)")


@dataclass(frozen=True)
class House:
    """Tasks of some families: to learn from, held out, and unseen until the end. All inputs differ."""

    train: tuple[Task, ...]
    heldout: tuple[Task, ...]
    unseen: tuple[Task, ...]


def wanted(seed: int, paper: str, name: str) -> str:
    """Returns the value that the house wants in a field."""
    return f"style-{luck(seed, paper, name).randrange(100, 1000)}"


def task(seed: int, number: int, paper: str, names: Sequence[str], split: str) -> Task:
    """Makes a task that needs some fields of a paper."""
    draw = luck(seed, number)
    return Task(
        f"Prepare {paper} {number} for {draw.choice(CLIENTS)} in {draw.choice(CITIES)}. "
        f"Settle its {names[0]} and its {names[1]}.",
        family=paper,
        reference={f"{paper} {name}": wanted(seed, paper, name) for name in names},
        split=split,  # type: ignore[arg-type] # one of the two
    )


def house(seed: int, *, families: int, train: int, heldout: int, unseen: int = 20) -> House:
    """Draws the tasks of some families, so many of each."""
    draw = luck(seed)
    made: dict[str, list[Task]] = {"train": [], "heldout": [], "unseen": []}
    for paper in list(FIELDS)[:families]:
        numbers = iter(draw.sample(range(1000, 10000), train + heldout + unseen))
        for part, count in (("train", train), ("heldout", heldout), ("unseen", unseen)):
            split = "train" if part == "train" else "heldout"
            made[part] += [task(seed, next(numbers), paper, draw.sample(FIELDS[paper], 2), split) for _ in range(count)]
    return House(*(tuple(made[part]) for part in ("train", "heldout", "unseen")))


def rules_in(text: str) -> dict[str, str]:
    """Reads the rules of a text, by paper and field."""
    return dict(_RULE.findall(text))


def lines(rules: Mapping[str, str]) -> str:
    """Writes rules as lines of a text."""
    return "\n".join(f"- {key}: {value}" for key, value in sorted(rules.items()))


def answer(asked: str, guidance: str) -> str:
    """Answers as the simulated agent: writes what the rules say, and `?` where they say nothing."""
    if (found := _TASK.search(asked)) is None:
        return "?"
    paper, *names = found.groups()
    rules = rules_in(guidance)
    return "\n".join(f"{paper} {name}: {rules.get(f'{paper} {name}', '?')}" for name in names)


def judged(asked: Task, said: str) -> Verdict:
    """Judges as the verifier: both fields, or nothing; its feedback names the first one that is broken."""
    given = dict(line.partition(": ")[::2] for line in said.splitlines())
    for key, value in asked.reference.items():
        if given.get(key) != value:
            return Verdict(0.0, feedback=f"the {key} is wrong: the house wants {value}")
    return Verdict(1.0, feedback="right")


def wrote(rules: Mapping[str, str], feedback: Iterable[str], *, error: float, draw: Random) -> dict[str, str]:
    """Writes as the simulated writer: returns the rules of its next text."""
    named = dict(found.groups() for one in feedback if (found := _FEEDBACK.search(one)))
    broken = sorted(key for key, value in named.items() if rules.get(key) != value)
    added = {key: named[key] for key in draw.sample(broken, min(ADDS, len(broken)))}
    if added and draw.random() < error:
        added[draw.choice(sorted(added))] = "spoilt"
    return {**rules, **added}


def shown(history: Sequence[Generation]) -> list[str]:
    """Returns the feedback that a revision prompt shows: of all attempts, on whichever task, controls left out."""
    rollouts = [one for generation in history for one in generation.rollouts if one.arm == "skill"]
    return sorted({one.feedback for one in rollouts if one.feedback and not one.passed})


@dataclass
class Calls:
    """The calls of the models: answers of the agent, texts of the writer."""

    agent: int = 0
    writer: int = 0

    @property
    def all(self) -> int:
        return self.agent + self.writer


@dataclass
class Draws:
    """The writer's luck: anew at each time that it is asked the same, the same in each run."""

    seed: int
    asked: Counter[str] = field(default_factory=Counter)

    def __call__(self, rules: Mapping[str, str], feedback: Sequence[str]) -> Random:
        prompt = f"{self.seed} {sorted(rules.items())} {sorted(feedback)}"
        self.asked[prompt] += 1
        return luck(prompt, self.asked[prompt])


class Writer:
    """The simulated writer as a generator: whole skills, one for each paper, with a description that fits."""

    def __init__(self, error: float, draws: Draws, calls: Calls) -> None:
        self._error, self._draws, self._calls = error, draws, calls

    def propose(self, task: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        name, current = f"{task.family}-papers", history[-1].text
        rules = rules_in(current) if current is not None and parse(current).name == name else {}
        feedback = shown(history)
        prompt = ({"role": "user", "content": f"{task.input}\n{lines(rules)}\n" + "\n".join(feedback)},)
        self._calls.writer += n
        return [
            Revision(completion=skill(name, task.family, self._next(rules, feedback)), prompt=prompt) for _ in range(n)
        ]

    def _next(self, rules: Mapping[str, str], feedback: Sequence[str]) -> dict[str, str]:
        return wrote(rules, feedback, error=self._error, draw=self._draws(rules, feedback))


def skill(name: str, paper: str, rules: Mapping[str, str]) -> str:
    """Writes a SKILL.md of a paper's rules."""
    said = f"How to prepare each {paper}, so that its {', '.join(FIELDS[paper])} are as the house wants them."
    return f"---\nname: {name}\ndescription: {said}\n---\n\nSettle each field so:\n{lines(rules) or '- nothing yet'}\n"
