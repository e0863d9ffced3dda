"""Made-up revisions for the supervised start of a small generator: prompts of the product, and skills that answer them.

The facts are of kinds that `facts.py` does not have, with nouns and values of their own, so that what a starter can do there was not shown to
it. A part of the answers is hollow on purpose: the form is taught, and heeding the feedback is left for the rewards to teach.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from skill_plugin.generators.minibatch import minibatch
from skill_plugin.generators.prompt import revise_prompt
from skill_plugin.records import Generation, Rollout, Task

WORDS = tuple(
    "Maple Cedar Willow Birch Olive Rowan Aspen Hazel Juniper Laurel Poplar Sorrel Thistle Clover Bracken Yarrow Copper Cobalt Amber Onyx".split()
)
PEOPLE = tuple("Ingrid Tomas Beate Oscar Milena Ruben Sofia Kasper Helga Anton Vera Emil Petra Leon Nadia Otto".split())
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())
NUMBERS = tuple(str(one) for one in (*range(12, 99, 7), *range(104, 990, 47)))
TIMES = tuple(f"{hour}:{minute}" for hour in range(6, 21) for minute in ("10", "25", "40", "55"))


class Kind(NamedTuple):
    """A kind of fact: a name, what it is about, the fact, ways to ask, nouns, values."""

    name: str
    about: str
    fact: str
    wordings: tuple[str, ...]
    nouns: tuple[str, ...]
    values: Sequence[str]


_SHIPS = tuple("dinghy trawler schooner tugboat yacht barge steamer canoe".split())
_MACHINES = tuple("scanner copier router projector heater freezer boiler mixer".split())
_COURSES = tuple("pottery chess yoga violin cooking sewing fencing painting".split())
_DISHES = tuple("soup stew omelette risotto salad lasagne pudding pancake".split())
_FIRMS = tuple("Lumen Vertex Ostara Quill Meridian Halcyon Tundra Solace".split())
_ROUTES = tuple("canyon glacier meadow ridge lagoon forest desert island".split())
_PAPERS = tuple("invoice contract permit receipt warranty licence report memo".split())
_ANIMALS = tuple("parrot hamster donkey tortoise goose rabbit beagle pony".split())

KINDS = (
    Kind("height", "the height of the {noun} trail", "The {noun} trail climbs to {value} metres.", ("How high is the {noun} trail?", "To what height does the {noun} trail climb?", "What is the height of the {noun} trail?"), _ROUTES, NUMBERS),
    Kind("captain", "the captain of the {noun}", "{value} is the captain of the {noun}.", ("Who is the captain of the {noun}?", "Who steers the {noun}?", "Name the captain of the {noun}."), _SHIPS, PEOPLE),
    Kind("berth", "the berth of the {noun}", "The {noun} lies at berth {value}.", ("At which berth is the {noun}?", "Where does the {noun} lie?", "Name the berth of the {noun}."), _SHIPS, WORDS),
    Kind("start", "when the {noun} course starts", "The {noun} course starts at {value}.", ("When does the {noun} course start?", "At what time is the {noun} course?", "What time does the {noun} course begin?"), _COURSES, TIMES),
    Kind("day", "the day of the {noun} course", "The {noun} course is on {value}.", ("On which day is the {noun} course?", "What day is the {noun} course?", "When in the week is the {noun} course?"), _COURSES, DAYS),
    Kind("teacher", "who teaches {noun}", "{value} teaches the {noun} course.", ("Who teaches the {noun} course?", "Who gives the {noun} course?", "Name the teacher of the {noun} course."), _COURSES, PEOPLE),
    Kind("model", "the model of the {noun}", "The {noun} is a model {value}.", ("Which model is the {noun}?", "What model is our {noun}?", "Name the model of the {noun}."), _MACHINES, WORDS),
    Kind("power", "the power of the {noun}", "The {noun} needs {value} watts.", ("How many watts does the {noun} need?", "What is the power of the {noun}?", "How much power does the {noun} take?"), _MACHINES, NUMBERS),
    Kind("spice", "the spice of the {noun}", "The {noun} is spiced with {value}.", ("What is the {noun} spiced with?", "Which spice is in the {noun}?", "Name the spice of the {noun}."), _DISHES, WORDS),
    Kind("minutes", "how long the {noun} cooks", "The {noun} cooks for {value} minutes.", ("How long does the {noun} cook?", "How many minutes does the {noun} take?", "For how long is the {noun} cooked?"), _DISHES, NUMBERS),
    Kind("founder", "the founder of {noun}", "{noun} was founded by {value}.", ("Who founded {noun}?", "Who is the founder of {noun}?", "By whom was {noun} founded?"), _FIRMS, PEOPLE),
    Kind("street", "the street of {noun}", "{noun} has its office in {value} Street.", ("In which street is the office of {noun}?", "Where is the office of {noun}?", "What street is {noun} in?"), _FIRMS, WORDS),
    Kind("staff", "how many people work at {noun}", "{value} people work at {noun}.", ("How many people work at {noun}?", "How big is the staff of {noun}?", "What is the number of staff of {noun}?"), _FIRMS, NUMBERS),
    Kind("folder", "the folder of the {noun}", "The {noun} is kept in folder {value}.", ("In which folder is the {noun}?", "Where is the {noun} kept?", "Name the folder of the {noun}."), _PAPERS, WORDS),
    Kind("pages", "how many pages the {noun} has", "The {noun} has {value} pages.", ("How many pages does the {noun} have?", "How long is the {noun}?", "What is the number of pages of the {noun}?"), _PAPERS, NUMBERS),
    Kind("pet", "the name of the {noun}", "The {noun} is named {value}.", ("What is the {noun} named?", "What is the name of the {noun}?", "How do I call the {noun}?"), _ANIMALS, WORDS),
    Kind("food", "how much the {noun} eats", "The {noun} eats {value} grams a day.", ("How much does the {noun} eat a day?", "How many grams does the {noun} eat?", "What amount of food does the {noun} get?"), _ANIMALS, NUMBERS),
)  # fmt: skip

TOLD = (
    "Wrong. {fact}",
    "Wrong. {fact}",
    "{fact}",
    "Not right: {fact}",
    "expected {value!r}, got {answer!r}",
    "The answer lacks {value!r}. {fact}",
    "That is wrong. Note: {fact}",
)
"""What a verifier says, in the words of several."""

DESCRIBED = (
    "For questions about {about}.",
    "Use it when asked about {about}.",
    "Tells {about}.",
    "Questions about {about}, such as: {asked}",
)
STATED = ("{fact}", "{fact}", "{fact}", "{fact} Answer with it.", "- {fact}", "When asked about {about}: {fact}")
HOLLOW = (
    "Look up the right value first.",
    "Read the question with care, then answer in one sentence.",
    "Find out {about}, and say it.",
    "Give a short and exact answer.",
    "Check {about} before you answer.",
    "Do not guess.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A prompt's messages, and texts that answer them."""

    messages: list[dict[str, str]]
    texts: list[str]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A fact of a kind, and its tasks."""

    kind: Kind
    noun: str
    value: str

    @property
    def fact(self) -> str:
        said = self.kind.fact.format(noun=self.noun, value=self.value)
        return said[0].upper() + said[1:]

    @property
    def about(self) -> str:
        return self.kind.about.format(noun=self.noun)

    @property
    def tasks(self) -> list[Task]:
        return [Task(one.format(noun=self.noun), family=f"{self.kind.name}-{self.noun}", split="train") for one in self.kind.wordings]  # fmt: skip

    def skill(self, rng: random.Random, body: Sequence[str], asked: str) -> str:
        name = rng.choice(("{noun}-{kind}", "{kind}-of-{noun}", "{noun}-{kind}-facts")).format(
            noun=self.noun.lower(), kind=self.kind.name
        )
        words = {"about": self.about, "fact": self.fact, "asked": asked}
        description, text = rng.choice(DESCRIBED).format(**words), rng.choice(body).format(**words)
        return f"---\nname: {name}\ndescription: {description}\n---\n\n{text[0].upper()}{text[1:]}\n"


def questions(seed: int, number: int) -> list[Task]:
    """Returns the tasks that `lessons` of the same arguments shows, for a model to answer."""
    return [task for asked in _facts(random.Random(f"facts {seed}"), number) for task in asked.tasks]


def lessons(seed: int, number: int, answers: Sequence[str], *, texts: int = 4, hollow: float = 0.3) -> Iterator[Lesson]:
    """Yields lessons: a first skill, or the revision of a hollow one, of one that a gate refused, or of one about something else.

    Args:
        seed: Draws all that is random.
        number: Number of lessons.
        answers: What a model answered to `questions` of the same seed and number, without a skill.
        texts: Texts of each: the prompt is the dear part, and is computed once for all of them.
        hollow: Share of texts that heed no feedback.
    """
    facts = _facts(random.Random(f"facts {seed}"), number)
    given = dict(zip((task.id for asked in facts for task in asked.tasks), answers, strict=True))
    rng = random.Random(f"texts {seed}")
    for at, asked in enumerate(facts):
        task, *others = rng.sample(asked.tasks, len(asked.tasks))
        told = rng.choice(TOLD)

        def failed(one: Task, number: int, asked: _Asked = asked, told: str = told) -> Rollout:
            answer = given[one.id]
            feedback = told.format(fact=asked.fact, value=asked.value, answer=answer[:200])
            return Rollout(generation=number, answer=answer, reward=0.0, passed=False, feedback=feedback)

        past = [Generation(number=0, text=None, rollouts=(failed(task, 0),) * rng.choice((1, 1, 1, 2)))]
        shown, refused = rng.random(), list[Generation]()
        current = None
        if shown < 0.25:  # a skill of its own that says nothing
            current = asked.skill(rng, HOLLOW, task.input)
            past.append(Generation(number=1, text=current, rollouts=(failed(task, 1),)))
        elif shown < 0.4:  # a skill about something else, which search found
            other = facts[(at + 1 + rng.randrange(len(facts) - 1)) % len(facts)]
            past[0] = Generation(
                number=0, text=other.skill(rng, STATED, other.tasks[0].input), rollouts=(failed(task, 0),)
            )
        if rng.random() < 0.1:
            text = asked.skill(rng, HOLLOW, task.input)
            refused.append(
                Generation(
                    number=1, text=text, rejected="0 repaired > 0 regressed of 3 held-out tasks", task=others[-1].input
                )
            )
        around = [(one, [failed(one, len(past) - 1)]) for one in others[: rng.choice((0, 0, 0, 1, 2))]]
        written = [asked.skill(rng, HOLLOW if rng.random() < hollow else STATED, task.input) for _ in range(texts)]
        if current is not None:  # a revision keeps its name
            written = [f"---\n{current.splitlines()[1]}\n" + text.split("\n", 2)[2] for text in written]
        yield Lesson(
            messages=revise_prompt(task, minibatch(task, past, around, refused)), texts=list(dict.fromkeys(written))
        )


def _facts(rng: random.Random, number: int) -> list[_Asked]:
    found = []
    for at in range(number):
        kind = KINDS[at % len(KINDS)]
        found.append(_Asked(kind, rng.choice(kind.nouns), rng.choice(list(kind.values))))
    return found
