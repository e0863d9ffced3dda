"""Proofs on sums: a vague description, a text that holds its answer, and many easy tasks at once. Not run itself.

The tasks are "add n and n+7". The simulated agent is right if its guidance says "Add carefully" or holds the answer of this very
question, else it is one short.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from serving import Options, facts, luck, passed, served

from skill_plugin import verifiers
from skill_plugin.budget import Budget
from skill_plugin.graphs import EvolveReport, EvolveSettings, evolve
from skill_plugin.records import Generation, Revision, Task
from skill_plugin.store import SkillStore
from skill_plugin.training.data.dataset import TRAIN, build_groups
from skill_plugin.training.data.groups import Groups
from skill_plugin.training.settings import AdvantageSettings

RULE = "Add carefully."
VAGUE = "Use this procedure whenever the work in this area has to be done with care."
FITTING = "How to add two whole numbers."
KINDS = ("leak", "rule", "useless")


def sums(numbers: Iterable[int], split: Any = None) -> list[Task]:
    """Makes tasks of one family; without a split a hash decides it, as in a file."""
    return [Task(f"add {n} and {n + 7}", family="sums", reference=str(2 * n + 7), split=split) for n in numbers]


def total(asked: str) -> int:
    return sum(map(int, re.findall(r"\d+", asked)))


def adder(right: Callable[[str], bool] = lambda _asked: True) -> Callable[[Any], str]:
    """Makes the simulated agent; `right` says whether the rule helps this time."""

    def answer(given: Any) -> str:
        asked, guidance = given["task"], given["guidance"]
        knows = f"The answer is {total(asked)}." in guidance or (RULE in guidance and right(asked))
        return str(total(asked) - (not knows))

    return answer


def skill(body: str, description: str = FITTING) -> str:
    return f"---\nname: adding\ndescription: {description}\n---\n\n{body}\n"


class Scripted:
    """A generator that writes what a function says: the texts of `n` candidates."""

    def __init__(self, texts: Callable[[Task, Sequence[Generation], int], Sequence[tuple[int, str]]]) -> None:
        self._texts = texts

    def propose(self, task: Task, history: Sequence[Generation], *, n: int) -> list[Revision]:
        prompt = ({"role": "user", "content": task.input},)
        return [
            Revision(
                completion=text,
                prompt=prompt,
                prompt_token_ids=(1, 2, 3),
                completion_token_ids=(kind,),
                logprobs=(-1.0,),
                sampling={"temperature": 1.0, "top_p": 1.0, "logprobs_mode": "raw_logprobs"},
            )
            for kind, text in self._texts(task, history, n)
        ]


def night(
    store: SkillStore,
    tasks: Sequence[Task],
    agent: Any,
    writer: Any,
    settings: EvolveSettings,
    *,
    budget: Budget | None = None,
) -> EvolveReport:
    return evolve(
        tasks,
        store=store,
        llm=agent,
        generator=writer,
        verifier=verifiers.exact_match(),
        settings=settings,
        budget=budget,
        new=True,
    )


def reasons(result: EvolveReport) -> dict[str, int]:
    """Counts the reasons why what was judged went live or did not, with the numbers left out."""
    return dict(Counter(re.sub(r"\d+", "N", row["reason"]) for row in (*result.accepted, *result.refused)))


def vague_description(
    options: Options, *, train: int = 9, heldout: int = 6, unseen: int = 20, mends: bool = True
) -> dict[str, Any]:
    """Tries a skill that helps and that search cannot find; then a writer that mends the description when told so."""
    settings = options.settings(generations=2, candidates=2, rollouts=2)
    tasks = [*sums(range(train), "train"), *sums(range(100, 100 + heldout), "heldout")]
    new = sums(range(200, 200 + unseen), "heldout")

    number = count()

    def vaguely(_task: Task, _history: Sequence[Generation], n: int) -> list[tuple[int, str]]:
        return [(1, skill(f"{RULE}\nVariant {next(number)}.", VAGUE)) for _ in range(n)]

    def told(_task: Task, history: Sequence[Generation], n: int) -> list[tuple[int, str]]:
        refused = [one for one in history if one.rejected and re.search(r"\bfound\b|\bdescription\b", one.rejected)]
        if not (mends and refused and refused[-1].text):
            return vaguely(_task, history, n)
        return [(1, refused[-1].text.replace(VAGUE, FITTING))] * n

    figures = {}
    for name, writes in (("stubborn", vaguely), ("told", told)):
        with options.store() as store:
            result = night(store, tasks, adder(), Scripted(writes), settings)
            outputs = served(store, adder(), new, verifiers.exact_match())
        figures[name] = facts(
            promotions=len(result.accepted),
            got_a_skill=sum(one["skill"] is not None for one in outputs),
            passed=passed(outputs),
            of=unseen,
            solved_after=result.solved_after,
            train=train,
            reasons=reasons(result),
        )
    return figures


def leak(options: Options, *, tasks: int = 50, right: float = 0.75, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    """Tries the task's answer, a rule that is right 3 of 4 times, and a useless text, in this order from each prompt.

    `three` has all three written from each prompt; `defaults` has as many written as `evolve` asks for.
    """
    found: dict[str, Any] = {}
    seen: dict[EvolveSettings, str] = {}
    for way, given in (("three", {"adaptive": False}), ("defaults", {})):
        settings = options.settings(generations=1, candidates=3, rollouts=4, **given)
        same = seen.setdefault(settings, way)
        runs = range(options.seeds or 10)
        found[way] = found.get(same) or _nights(
            [_leak(options, settings, seed, tasks=tasks, right=right, kinds=kinds) for seed in runs]
        )
    return found


def _nights(seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    kinds = seeds[0]["advantage"]
    means = {kind: fmean(one["advantage"][kind] for one in seeds) for kind in kinds}
    both = [one for one in seeds if one["groups_with_both"]]
    return {
        "advantage": facts(**means),
        "rule_above_leak": facts(
            seeds=sum(one["advantage"]["rule"] > one["advantage"]["leak"] for one in seeds),
            groups=fmean(one["rule_first"] / one["groups_with_both"] for one in both) if both else 0.0,
        ),
        "rule_live": sum(one["rule_live"] for one in seeds),
        "of": len(seeds),
        "task_calls": fmean(one["task_calls"] for one in seeds),
        "judged": fmean(one["judged"] for one in seeds),
    }


def _leak(
    options: Options, settings: EvolveSettings, seed: int, *, tasks: int, right: float, kinds: Sequence[str]
) -> dict[str, Any]:
    decks: defaultdict[str, list[str]] = defaultdict(list)
    asked: Counter[str] = Counter()

    def helps(question: str) -> bool:
        asked[question] += 1
        return luck(seed, question, asked[question]).random() < right

    def write(task: Task, _history: Sequence[Generation], n: int) -> list[tuple[int, str]]:
        texts = {"leak": f"The answer is {total(task.input)}.", "rule": RULE, "useless": "Think hard."}
        deck, drawn = decks[task.id], []
        for _ in range(n):  # the leak first, and one of each however many are asked for at once
            deck += [] if deck else kinds
            drawn.append(deck.pop(0))
        return [(10 + KINDS.index(kind), skill(texts[kind])) for kind in drawn]

    with options.store() as store, TemporaryDirectory() as folder:
        numbers = range(1000 * seed, 1000 * seed + tasks)
        result = night(store, sums(numbers), adder(helps), Scripted(write), settings)
        build_groups(
            store.histories.rows(),
            Path(folder),
            base_model=None,
            ages=None,
            advantage=AdvantageSettings(),
            validation_share=0.0,
        )
        groups = [
            {KINDS[one.completion_token_ids[0] - 10]: one.pull + one.push for one in group.candidates}
            for group in Groups(Path(folder) / TRAIN)
        ]
        live = any(RULE in skill.text for skill in store.list("live"))
    both = [group for group in groups if {"rule", "leak"} <= group.keys()]
    return {
        "advantage": {kind: fmean([group[kind] for group in groups if kind in group] or [0.0]) for kind in KINDS},
        "groups_with_both": len(both),
        "rule_first": sum(group["rule"] > group["leak"] for group in both),
        "rule_live": live,
        "task_calls": result.spending.task.calls if result.spending else 0,
        "judged": len(result.accepted) + len(result.refused),
    }


def at_once(options: Options, *, tasks: int = 50, concurrency: int = 8, helps: bool = True) -> dict[str, Any]:
    """Runs many easy tasks of one family side by side: what they cost, what the summary says, and what is true."""
    asked = sums(range(tasks))
    train = [task for task in asked if task.split == "train"]
    body = RULE if helps else "Think hard."
    with options.store() as store:
        number = count()
        writer = Scripted(lambda _task, _history, n: [(1, skill(f"{body}\nVariant {next(number)}.")) for _ in range(n)])
        result = night(store, asked, adder(), writer, options.settings(concurrency=concurrency))
        outputs = served(store, adder(), train, verifiers.exact_match())
    return facts(
        candidates=result.candidates,
        task_calls=result.spending.task.calls if result.spending else 0,
        reported=result.solved_after,
        replayed=passed(outputs),
        of=len(train),
        promotions=len(result.accepted),
    )
