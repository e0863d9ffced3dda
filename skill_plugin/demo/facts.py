"""Families of one fact each, which no pre-training knows, asked in eight wordings: three to train on, three held out
for the gate, two for whoever measures.

A seed draws the values, and which nouns a night gets, so that nothing can be learned by heart. The judge is exact: an answer is right if the
value stands in it. What a wrong answer is told states the fact, but for a share of `noise`, which is told only that it was wrong.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated

from skill_plugin.errors import InvalidTaskError
from skill_plugin.limits import Limit, check_fields
from skill_plugin.records import Split, Task, Verdict

ANIMALS = tuple(
    "Otter Falcon Badger Heron Tiger Camel Zebra Lynx Raven Panda Gecko Bison Moose Stork Koala Viper Hyena Llama Walrus Ferret".split()
)
NAMES = tuple(
    "Anna Boris Clara David Elena Felix Greta Hugo Irene Jonas Karin Lukas Marta Nils Olga Paul Rosa Simon Tanja Viktor".split()
)


@dataclass(frozen=True, slots=True)
class FactKind:
    """A kind of fact. Of its wordings the first three are trained on, the last two are for measuring alone."""

    name: str
    fact: str
    wordings: tuple[str, ...]
    nouns: tuple[str, ...]
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that is so in one world alone."""

    kind: FactKind
    noun: str
    value: str

    @property
    def family(self) -> str:
        return f"{self.kind.name}-{self.noun.replace(' ', '-')}"

    @property
    def sentence(self) -> str:
        """The fact in a sentence, which a skill may state."""
        return self.kind.fact.format(noun=self.noun, value=self.value)

    @property
    def skill(self) -> str:
        """The skill that an editor who knows the fact would write."""
        return f"---\nname: {self.family}\ndescription: {self.about}\n---\n\n{self.sentence}\n"

    @property
    def hollow(self) -> str:
        """The skill that a person begins with who does not know it."""
        return f"---\nname: {self.family}\ndescription: {self.about}\n---\n\nLook up the right value first.\n"

    @property
    def about(self) -> str:
        return f"Questions such as: {self.kind.wordings[0].format(noun=self.noun)}"

    def tasks(self, split: Split | None = None) -> list[Task]:
        """Returns the family's tasks: three of each split, of one or of both."""
        asked = self.kind.wordings
        found = [*self._asked(asked[:3], "train"), *self._asked(asked[3:6], "heldout")]
        return [task for task in found if split in (None, task.split)]

    def tests(self) -> list[Task]:
        """Returns two tasks that neither training nor a gate sees."""
        return self._asked(self.kind.wordings[6:], "heldout")

    def _asked(self, wordings: Sequence[str], split: Split) -> list[Task]:
        reference = f"{self.value} | {self.sentence}"
        return [
            Task(one.format(noun=self.noun), family=self.family, reference=reference, split=split) for one in wordings
        ]


_BUYABLE = tuple(
    "museum zoo ferry castle aquarium theatre circus tower garden fair stadium opera cinema cave lighthouse planetarium".split()
)
_PLACES = tuple(
    "library bakery school pharmacy harbour hotel church station factory market hospital brewery embassy bank mill".split()
)
_THINGS = tuple(
    "kettle ladder drill hammer lamp rope bucket saw printer tent compass kite flute anchor drum broom".split()
)
_TEAMS = tuple(
    "budget safety design sales hiring planning training travel press quality research welcome audit".split()
)
_NUMBERS = tuple(str(one) for one in range(11, 99) if one % 10)

KINDS = (
    FactKind(
        "price",
        "A ticket for the {noun} costs {value} euros.",
        (
            "How much is a ticket for the {noun}?",
            "What does a ticket for the {noun} cost?",
            "What do I pay for a {noun} ticket?",
            "Tell me the price of a {noun} ticket.",
            "How many euros is a {noun} ticket?",
            "I want to visit the {noun}. How much does a ticket cost?",
            "What is the price of a ticket for the {noun}?",
            "What must I pay for a ticket for the {noun}?",
        ),
        _BUYABLE,
        _NUMBERS,
    ),
    FactKind(
        "phone",
        "The phone number of the {noun} is {value}.",
        (
            "What is the phone number of the {noun}?",
            "How can I call the {noun}?",
            "Tell me the phone number of the {noun}.",
            "Which number do I dial for the {noun}?",
            "I want to call the {noun}. What is its number?",
            "What is the {noun}'s phone number?",
            "Give me the phone number of the {noun}.",
            "What number does the {noun} have?",
        ),
        _PLACES,
        tuple(f"{one} {two}" for one in range(137, 990, 61) for two in range(203, 980, 83)),
    ),
    FactKind(
        "shelf",
        "The {noun} is on shelf {value}.",
        (
            "On which shelf is the {noun}?",
            "Which shelf has the {noun}?",
            "Where do I find the {noun}?",
            "Tell me the shelf of the {noun}.",
            "I need the {noun}. Which shelf is it on?",
            "What is the name of the shelf with the {noun}?",
            "On what shelf do you keep the {noun}?",
            "Can you name the shelf of the {noun}?",
        ),
        _THINGS,
        ANIMALS,
    ),
    FactKind(
        "room",
        "The {noun} meeting is in room {value}.",
        (
            "In which room is the {noun} meeting?",
            "Where is the {noun} meeting?",
            "Which room has the {noun} meeting?",
            "Tell me the room of the {noun} meeting.",
            "I go to the {noun} meeting. Which room is it in?",
            "What is the name of the room of the {noun} meeting?",
            "What room is the {noun} meeting in?",
            "In what room do we have the {noun} meeting?",
        ),
        _TEAMS,
        ANIMALS,
    ),
    FactKind(
        "owner",
        "{value} is responsible for the {noun} team.",
        (
            "Who is responsible for the {noun} team?",
            "Who leads the {noun} team?",
            "Which person is responsible for the {noun} team?",
            "Tell me who is responsible for the {noun} team.",
            "Whom do I ask about the {noun} team?",
            "What is the name of the leader of the {noun} team?",
            "Who is the head of the {noun} team?",
            "Which person leads the {noun} team?",
        ),
        _TEAMS,
        NAMES,
    ),
    FactKind(
        "weight",
        "The {noun} weighs {value} kilos.",
        (
            "How heavy is the {noun}?",
            "How much does the {noun} weigh?",
            "What is the weight of the {noun}?",
            "Tell me the weight of the {noun}.",
            "How many kilos does the {noun} weigh?",
            "I have to carry the {noun}. How heavy is it?",
            "What does the {noun} weigh?",
            "How many kilos is the {noun}?",
        ),
        _THINGS,
        _NUMBERS,
    ),
    FactKind(
        "bus",
        "Bus {value} goes to the {noun}.",
        (
            "Which bus goes to the {noun}?",
            "What bus do I take to the {noun}?",
            "How do I get to the {noun} by bus?",
            "Tell me the bus to the {noun}.",
            "I want to go to the {noun}. Which bus is it?",
            "What is the number of the bus to the {noun}?",
            "What bus goes to the {noun}?",
            "Which bus do I take to the {noun}?",
        ),
        _PLACES,
        _NUMBERS,
    ),
    FactKind(
        "seats",
        "The {noun} has {value} seats.",
        (
            "How many seats does the {noun} have?",
            "How many people can sit in the {noun}?",
            "What is the number of seats in the {noun}?",
            "Tell me how many seats the {noun} has.",
            "I book the {noun}. How many seats are there?",
            "How many seats are in the {noun}?",
            "How many seats are there in the {noun}?",
            "What number of seats does the {noun} have?",
        ),
        _BUYABLE,
        tuple(str(one) for one in range(113, 980, 37)),
    ),
    FactKind(
        "mascot",
        "The mascot of the {noun} is called {value}.",
        (
            "What is the mascot of the {noun} called?",
            "What is the name of the mascot of the {noun}?",
            "Who is the mascot of the {noun}?",
            "Tell me the name of the {noun}'s mascot.",
            "How is the mascot of the {noun} called?",
            "I met the mascot of the {noun}. What is its name?",
            "What name does the mascot of the {noun} have?",
            "Give me the name of the mascot of the {noun}.",
        ),
        _PLACES,
        NAMES,
    ),
    FactKind(
        "box",
        "The {noun} goes to box {value}.",
        (
            "To which box does the {noun} go?",
            "Which box is for the {noun}?",
            "Where do I put the {noun}?",
            "Tell me the box of the {noun}.",
            "I have the {noun}. Which box does it go to?",
            "What is the name of the box for the {noun}?",
            "What box does the {noun} go to?",
            "Which box does the {noun} belong to?",
        ),
        _THINGS,
        ANIMALS,
    ),
)
EASY = ("price", "phone", "shelf", "room", "weight", "bus", "seats", "mascot")
"""What SmolLM2-135M answers by a skill and not without: of 24 questions a kind 0 without, and 23, 24, 21, 19, 24, 15, 24, 24 with it.
Of the other two it answers 9 and 10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactWorld:
    """A draw of facts. Two worlds of different seeds have values, and mostly nouns, of their own.

    Args:
        seed: Draws nouns and values.
        kinds: Names of the kinds that take turns.
        facts: Number of families.
        noise: Share of wrong answers that are told only that they are wrong.
    """

    seed: int
    kinds: tuple[str, ...] = EASY
    facts: int = 12
    noise: Annotated[float, Limit(least=0, most=1)] = 0.0

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self) -> list[Fact]:
        """Returns its facts, kinds in turn."""
        rng = random.Random(f"facts {self.seed}")  # noqa: S311 - a drawn world, not a secret
        wanted = [kind for kind in KINDS if kind.name in self.kinds]
        lists = [self._of(kind, rng) for kind in wanted]
        return [next(lists[at % len(lists)]) for at in range(self.facts)]

    def _of(self, kind: FactKind, rng: random.Random) -> Iterator[Fact]:
        nouns = rng.sample(kind.nouns, len(kind.nouns))
        values = rng.sample(list(kind.values), len(kind.values))
        return (Fact(kind, noun, values[at % len(values)]) for at, noun in enumerate(nouns))

    def judge(self, task: Task, answer: str) -> Verdict:
        """Judges an answer; see `judge`. A share of `noise` of the wrong ones is told no more than that."""
        verdict = judge(task, answer)
        drawn = int.from_bytes(sha256(f"{self.seed} {task.input} {answer}".encode()).digest()[:8]) / 2**64
        return replace(verdict, feedback="Wrong.") if not verdict.passed and drawn < self.noise else verdict


def judge(task: Task, answer: str) -> Verdict:
    """Judges an answer by the value in its task's reference; a wrong one is told the fact.

    Raises:
        InvalidTaskError: the task is of another world.
    """
    value, mark, fact = str(task.reference).partition(" | ")
    if not mark:
        raise InvalidTaskError(
            f"{task.input[:60]!r} is about no fact of this world; its reference is {task.reference!r:.60}"
        )
    if re.search(rf"\b{re.escape(value)}\b", answer):
        return Verdict(reward=1.0, feedback="Right.")
    return Verdict(reward=0.0, feedback=f"Wrong. {fact}")
