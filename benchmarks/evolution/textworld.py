"""TextWorldExpress's TWC: each thing belongs in one place of its room, which cannot be guessed from what a frozen executor knows.

A family is a room, its skill says where the room's things belong, and a task is one thing of one game. The judge is the game: whether its
score rose. It tells only what came out: of the place that was answered, and of a few others that were tried after it. Things of the folds
differ: draw from `train` what a generator learns from, and from `test` what it is judged on. The executor is `place_reader`'s transformer.

It needs the package textworld-express, and Java: `pip install textworld-express`, `apt-get install default-jre-headless`.
"""

import random
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import place_reader
from bench import Bench, skill_texts

from skill_plugin.errors import ConfigurationError
from skill_plugin.generators.digest import current_text
from skill_plugin.records import Generation, Revision, Split, Task, Verdict, sha256
from skill_plugin.skills.skill_md import SkillDocument, legal_name, parse, render

Fold = Literal["train", "dev", "test"]

GAME = "numLocations=1,numItemsToPutAway=3,includeDoors=0,limitInventorySize=0"
FEWEST_PLACES = 4
HOLLOW = "Think of where people keep such a thing, and put it there."

_ROOM = re.compile(r"You are in the (.+?)\.")
_SIGHT = re.compile(
    r"(?:see|is also) (?:a|an|some) ([^.,]+?)(, that has nothing on it| that is (?:closed|open)[^.]*)?\."
)
_ROSE = re.compile(r"The score rose when the (.+?) was put in the (.+?)\.")
_TASK = re.compile(r"Put the (?P<thing>.+) of the (?P<room>.+) in its usual place: (?P<places>.+)\. Also there: .*")


@dataclass(frozen=True)
class Game:
    """A game as it begins: its number, its room, the room's places, and the things that lie about."""

    number: int
    room: str
    places: tuple[str, ...]
    things: tuple[str, ...]

    @classmethod
    def of(cls, number: int, seen: str, actions: Sequence[str]) -> "Game | None":
        """Reads what the game says of a room, and what can be done there; None if it says nothing of a room."""
        room = _ROOM.search(seen)
        if room is None:
            return None
        sights = _SIGHT.findall(seen[room.end() :])
        things = tuple(name for name, _ in sights if f"take {name}" in actions)
        # What has no state, such as a stove, holds nothing.
        return cls(number, room[1], tuple(name for name, state in sights if state), things)

    def asks(self, thing: str) -> str:
        """Returns the task's text, which `answering` reads."""
        others = ", ".join(one for one in self.things if one != thing)
        return f"Put the {thing} of the {self.room} in its usual place: {', '.join(self.places)}. Also there: {others}."


def bench(
    seed: int,
    *,
    weights: Path,
    fold: Fold = "train",
    rooms: int = 6,
    things: int = 4,
    each: int = 2,
    tries: int = 3,
    games: int = 250,
) -> Bench:
    """Returns a draw of rooms and things as a bench.

    Args:
        seed: Draws games, rooms and things.
        weights: Folder of the executor's weights; without them it is trained first, which takes minutes.
        fold: The fold of TextWorldExpress.
        rooms: Rooms at most; a room has at least `FEWEST_PLACES` places.
        things: Things of a room, at most.
        each: Tasks of a thing in each split, each from another game.
        tries: Further places that the judge tries, one after the other, after a wrong one.
        games: Number of games that are looked at.

    Raises:
        ConfigurationError: the package or Java is missing, or the games do not hold enough.
    """
    rng = random.Random(f"textworld {seed}")
    with closing(_environment()) as env:
        found: dict[str, dict[str, list[Game]]] = defaultdict(lambda: defaultdict(list))
        for number in rng.sample(range(1_000_000), games):
            seen, state = env.reset(seed=number, gameFold=fold)
            game = Game.of(number, seen, state["validActions"])
            if game and len(game.places) >= FEWEST_PLACES and len(game.things) > 1:
                for thing in game.things:
                    found[game.room][thing].append(game)
        tasks: list[Task] = []
        rose: dict[str, dict[str, bool]] = {}
        for room in rng.sample(sorted(found), min(rooms, len(found))):
            enough = {thing: _distinct(some, thing) for thing, some in sorted(found[room].items())}
            enough = {thing: some for thing, some in enough.items() if len(some) >= 2 * each}
            for thing in rng.sample(sorted(enough), min(things, len(enough))):
                splits: list[Split] = ["train"] * each + ["heldout"] * each
                for split, game in zip(splits, enough[thing], strict=False):
                    outcome = tried(env, game, thing, fold)
                    if any(outcome.values()):  # some things have no usual place in their room
                        rose[game.asks(thing)] = outcome
                        tasks.append(Task(game.asks(thing), family=room, reference=_right(outcome), split=split))
    if not tasks:
        raise ConfigurationError(
            f"no thing was seen in {2 * each} of {games} games; look at more games, or ask for fewer tasks each"
        )
    names = list(dict.fromkeys(task.family for task in tasks))
    return Bench(
        name="textworld",
        model="a transformer trained on made-up skills, frozen",
        tasks=tasks,
        llm=answering(place_reader.load(weights)),
        verifier=judge(rose, tries),
        starting=[_skill(room, tasks, HOLLOW) for room in names],
        oracle=[_skill(room, tasks, "\n".join(_lines(room, tasks))) for room in names],
        rules=RulesWriter(),
        max_concurrency=4,
        notes={
            "fold": fold,
            "families": len(names),
            "things": len({(task.family, _asked(task.input)[0]) for task in tasks}),
        },
    )


def tried(env: Any, game: Game, thing: str, fold: Fold) -> dict[str, bool]:
    """Plays: whether the score rose when the thing was put in each place."""
    rose: dict[str, bool] = {}
    while len(rose) < len(game.places):
        env.reset(seed=game.number, gameFold=fold)
        for place in game.places:
            env.step(f"open {place}")
        before = 0.0
        for place in (place for place in game.places if place not in rose):
            env.step(f"take {thing}")
            after = env.step(f"put {thing} in {place}")[3]["score"]
            rose[place] = after > before
            if rose[place]:  # a game pays once for a thing, so the other places need another one
                break
    return rose


def answering(reader: place_reader.PlaceReader) -> Callable[[Any], str]:
    """Returns the executor as a function of an `AgentInput`."""

    def answer(given: Any) -> str:
        thing, places = _asked(given["task"])
        return reader.answer(places, skill_texts(given["guidance"]), thing)

    return answer


def judge(rose: Mapping[str, Mapping[str, bool]], tries: int) -> Callable[[Task, str], Verdict]:
    """Returns the verifier. `rose` says of each task's text in which place the score rises."""

    def verify(task: Task, answer: str) -> Verdict:
        thing, outcome = _asked(task.input)[0], rose[task.input]
        place = answer.strip().lower()
        if place not in {one.lower() for one in outcome}:
            return Verdict(0.0, feedback=f"There is no {answer[:60]!r} here; the places are {', '.join(outcome)}.")
        others = sorted(
            (one for one in outcome if one.lower() != place), key=lambda one: sha256(f"{task.input}{answer}{one}")
        )
        told = []
        for one in [next(one for one in outcome if one.lower() == place), *others[:tries]]:
            told.append(
                f"The score {'rose' if outcome[one] else 'did not change'} when the {thing} was put in the {one}."
            )
            if outcome[one]:
                break
        return Verdict(float(told[0].startswith("The score rose")), feedback=" ".join(told))

    return verify


@dataclass(frozen=True)
class RulesWriter:
    """A generator without a model: it adds where the score rose to the room's skill, a line a thing."""

    name: str = "rules"

    def propose(self, task: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        shown = current_text(history)
        document = None if shown is None else parse(shown)
        called = f"{legal_name(task.family)}-things"
        # Under another name it is that of another room, which search found.
        lines = document.body.splitlines() if document is not None and document.name == called else []
        told = (one.feedback for step in history for one in step.rollouts)
        lines += [f"- put the {thing} in the {place}" for said in told for thing, place in _ROSE.findall(said)]
        known = dict.fromkeys(line for line in lines if line.startswith("- put the "))
        things = ", the ".join(line.removeprefix("- put the ").partition(" in the ")[0] for line in known)
        about = (
            f"Putting things of the {task.family} in their usual places, such as the {things or _asked(task.input)[0]}."
        )
        text = render(SkillDocument(called, about, "\n".join(known) or HOLLOW))
        return [Revision(completion=text, text=text, model=self.name) for _ in range(n)]


def _environment() -> Any:
    """Starts the games.

    Raises:
        ConfigurationError: there is no package, or no Java.
    """
    try:
        from textworld_express import TextWorldExpressEnv  # noqa: PLC0415 - it is no requirement of ours
    except ImportError as exc:
        raise ConfigurationError(
            "the world textworld needs the package textworld-express: pip install textworld-express"
        ) from exc
    if shutil.which("java") is None:
        raise ConfigurationError(
            "the world textworld needs Java, and there is no 'java' on the PATH: apt-get install default-jre-headless"
        )
    env = TextWorldExpressEnv(envStepLimit=1000)
    env.load(gameName="twc", gameParams=GAME)
    return env


def _distinct(games: Sequence[Game], thing: str) -> list[Game]:
    """Returns games whose tasks are worded differently."""
    return list({game.asks(thing): game for game in games}.values())


def _asked(text: str) -> tuple[str, list[str]]:
    """Reads a task's text: the thing, and the places."""
    read = _TASK.fullmatch(text)
    if read is None:
        raise ConfigurationError(f"{text[:80]!r} is no task of this world")
    return read["thing"], read["places"].split(", ")


def _right(outcome: Mapping[str, bool]) -> str:
    return next(place for place, rises in outcome.items() if rises)


def _lines(room: str, tasks: Sequence[Task]) -> list[str]:
    """Returns what is right in a room, a line a thing."""
    return list(
        dict.fromkeys(f"- put the {_asked(one.input)[0]} in the {one.reference}" for one in tasks if one.family == room)
    )


def _skill(room: str, tasks: Sequence[Task], body: str) -> str:
    things = sorted({_asked(one.input)[0] for one in tasks if one.family == room})
    about = f"Putting things of the {room} in their usual places, such as the {', the '.join(things)}."
    return render(SkillDocument(f"{legal_name(room)}-things", about, body))
