"""The gate on held-out tasks: runs what users get today and what they would get, then promotes the best version or none."""

from collections.abc import Sequence
from typing import Any, Unpack

from langchain_core.runnables import Runnable

from skill_plugin.errors import ConfigurationError, StoreError
from skill_plugin.gates.decision import GateDecision
from skill_plugin.gates.versions import choose, judge_version, load_rule
from skill_plugin.graphs.finder import Finder, ShownSkills
from skill_plugin.graphs.observe import emit, span
from skill_plugin.graphs.state import PinnedSkill, SkillInput, SkillOutput
from skill_plugin.protocols import GateRule
from skill_plugin.records import Task, split_ref
from skill_plugin.store import Retrieval, RetrievalOptions, SkillStore


def gate_version(
    store: SkillStore,
    graph: Runnable[SkillInput, SkillOutput],
    ref: str,
    tasks: Sequence[Task],
    **options: Any,
) -> GateDecision:
    """Decides whether a staged version goes live, and makes it so: `store.promote` or `store.refuse`.

    Args:
        store: The library.
        graph: A compiled `create_skill_graph`.
        ref: `skill_id@version` of the candidate.
        tasks: Held-out tasks of the candidate's family; without any, the version stays staged.
        **options: Those of `gate_versions`.
    """
    return gate_versions(store, graph, [ref], tasks, **options)[ref]


def gate_versions(
    store: SkillStore,
    graph: Runnable[SkillInput, SkillOutput],
    refs: Sequence[str],
    tasks: Sequence[Task],
    *,
    others: Sequence[Task] = (),
    like: Sequence[Task] = (),
    max_concurrency: int = 8,
    rule: str | GateRule = "paired",
    **retrieval: Unpack[RetrievalOptions],
) -> dict[str, GateDecision]:
    """Decides among several versions of one skill; of those that pass, the one that replays best goes live.

    Every task is run as held out, so that nothing is revised: under what search shows today, and, where it would show something
    else if the version were live, under that. A pair in which a verifier failed is left out.

    Args:
        store: The library.
        graph: A compiled `create_skill_graph`.
        refs: `skill_id@version` of the candidates.
        tasks: Held-out tasks of their family; without any, the versions stay staged.
        others: Held-out tasks of other families; those for which search would show a candidate are run too.
        like: Tasks that the versions were written for. Search has to find a version for the held-out tasks that are like them;
            without any, for all.
        max_concurrency: How many runs at once.
        rule: What is asked of the pairs: a name in `gates.versions.GATES`, or an object with `decide(before, after)`.
        **retrieval: The graph's options of `Retrieval`.

    Raises:
        ConfigurationError: the versions are of several skills, or none is given.
        StoreError: the skill is retired or quarantined.
    """
    if len({split_ref(ref)[0] for ref in refs}) != 1:
        raise ConfigurationError(
            f"the gate chooses among versions of one skill, got {list(refs)}; call it for each skill"
        )
    status = store.get(refs[0]).status
    if status in ("retired", "quarantined"):
        raise StoreError(
            f"skill {split_ref(refs[0])[0]!r} is {status}; only a person restores it: skill-plugin skills restore"
        )
    finder, asked = Finder(store, Retrieval.of(retrieval)), load_rule(rule)
    replays = _Replays(graph, max_concurrency)
    decisions = choose(
        {ref: _judged(finder, replays, ref, tasks, others=others, like=like, rule=asked) for ref in refs}
    )
    for ref, decision in decisions.items():
        with span("gate"):
            emit("gated", {"skill": ref, **decision.to_json()}, skill=ref, **decision.to_json())
            if decision.promote:
                store.promote(ref, by="gate", decision=decision)
            else:
                store.refuse(ref, decision=decision)
    return decisions


def _judged(
    finder: Finder,
    replays: "_Replays",
    ref: str,
    tasks: Sequence[Task],
    *,
    others: Sequence[Task],
    like: Sequence[Task],
    rule: GateRule,
) -> GateDecision:
    shown = [finder.shows(task, ref) for task in tasks]
    elsewhere = [one for task in others if (one := finder.shows(task, ref)).finds(ref)]
    of_kind = [one for one in shown if finder.is_like(one.task, like)]
    pairs, taken = replays(shown), replays(elsewhere)
    return judge_version(
        [b for b, _ in pairs],
        [a for _, a in pairs],
        found=sum(one.finds(ref) for one in of_kind),
        of_kind=len(of_kind),
        elsewhere=taken,
        judges=[task.content_hash for task in tasks],
        rule=rule,
    )


class _Replays:
    """Runs held-out tasks through a graph, each under each skill once."""

    def __init__(self, graph: Runnable[SkillInput, SkillOutput], max_concurrency: int) -> None:
        self._graph = graph
        self._max_concurrency = max_concurrency
        self._rewards: dict[tuple[str, str | None], float | None] = {}

    def __call__(self, shown: Sequence[ShownSkills]) -> list[tuple[float, float]]:
        """Returns the rewards today and then, of the tasks that have a verdict both ways, shape [tasks][2]."""
        runs = {_key(one.task, skill): (one.task, skill) for one in shown for skill in (one.today, one.then)}
        missing = [key for key in runs if key not in self._rewards]
        outputs = self._graph.batch(
            [_held_out(*runs[key]) for key in missing], {"max_concurrency": self._max_concurrency}
        )
        self._rewards |= {key: output["reward"] for key, output in zip(missing, outputs, strict=True)}
        pairs = [(self._rewards[_key(one.task, one.today)], self._rewards[_key(one.task, one.then)]) for one in shown]
        return [(b, a) for b, a in pairs if b is not None and a is not None]


def _key(task: Task, skill: PinnedSkill | None) -> tuple[str, str | None]:
    return task.id, skill["ref"] if skill else None


def _held_out(task: Task, skill: PinnedSkill | None) -> SkillInput:
    """The input of a run under a skill, or under none."""
    shown: SkillInput = {"task": task.input, "pin": skill["ref"]} if skill else {"task": task.input, "arm": "control"}
    return {
        **shown,
        "reference": task.reference,
        "family": task.family,
        "verifier": task.verifier,
        "split": "heldout",
    }
