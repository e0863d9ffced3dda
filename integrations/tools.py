"""The tools of an agent on the library, as plain functions: LangChain's tools and the MCP server are made of these.

Arguments and results are JSON. Everything an agent passes is data from outside: it sees live skills only, and what it
writes is staged. Errors are this library's own, one line each, made to be shown to a model.
"""

import uuid
from difflib import get_close_matches

from typing_extensions import TypedDict

from skill_plugin import prompts
from skill_plugin.errors import (
    ConfigurationError,
    DuplicateSkillError,
    RunNotFoundError,
    SkillNotFoundError,
    StoreError,
    VerifierError,
)
from skill_plugin.records import CLAIMED, Rollout, Skill, Task, Verdict
from skill_plugin.scanning.findings import of, sentence
from skill_plugin.skills import skill_md
from skill_plugin.store import SkillStore, scan_text
from skill_plugin.store.runs.waiting import proposals_waiting
from skill_plugin.store.skills.tiers import is_shown, least_tier, why_hidden

DEFAULT_K = 3

MOST_WAITING = 200
"""Proposals that may wait for a decision: more than a person looks through."""

LONGEST = 100_000
"""Characters of a query, a task or a feedback of a client."""


class SkillSummary(TypedDict):
    """A search result without its text, which `get_skill` gives. `utility` is in [0, 1]; None before the first use."""

    name: str
    ref: str
    description: str
    score: float
    utility: float | None


class SearchResult(TypedDict):
    """Best first. Where nothing was found, `reason` says why; else it is empty."""

    skills: list[SkillSummary]
    reason: str


class SkillText(TypedDict):
    """A live skill; `ref` is its `skill_id@version`, `tier` how far it is trusted, `text` its procedure between fences, as `prompts.guidance` shows it."""

    name: str
    ref: str
    description: str
    utility: float | None
    uses: int
    tier: str
    text: str


class OutcomeReport(TypedDict):
    """An answer to feedback. `recorded` is false if the same feedback on the same run exists; `counted` says whether the skill was
    credited, which it is not for a run that a client made up, unless clients may write.
    """

    run_id: str
    recorded: bool
    counted: bool


class Proposal(TypedDict):
    """The result of a proposed text: a version of the skill `name` that waits for the gate or a person.

    Where the scanner holds it (`quarantined`), `reason` says which rule does; else it is empty.
    """

    name: str
    ref: str
    version: int
    status: str
    reason: str


def search_skills(store: SkillStore, query: str, k: int = DEFAULT_K) -> SearchResult:
    """Finds the live skills for a task, at most `k`, best first.

    Raises:
        ConfigurationError: the query is empty or too long, or `k` is not from 1 to 20.
    """
    _check_length("query", query)
    hits = store.search(query, k)
    return SearchResult(
        skills=[
            SkillSummary(
                name=hit.name,
                ref=hit.ref,
                description=prompts.one_line(hit.description),
                score=round(hit.score, 4),
                utility=hit.utility,
            )
            for hit in hits
        ],
        reason=hits.reason,
    )


def get_skill(store: SkillStore, name: str) -> SkillText:
    """Returns the procedure of a live skill, for a model to read, by name, id, `name@2` or `id@2`.

    The SKILL.md to the letter is `store.get(name).text`.

    Raises:
        SkillNotFoundError: no skill has this name, or it is not live.
    """
    skill = live_skill(store, name)
    return SkillText(
        name=skill.name,
        ref=skill.ref,
        description=prompts.one_line(skill.description),
        utility=skill.utility,
        uses=skill.uses,
        tier=skill.tier,
        text=prompts.guidance([(skill.ref, skill.name, skill.text)]),
    )


def report_outcome(
    store: SkillStore,
    run_id: str,
    reward: float,
    feedback: str | None = "",
    *,
    skill: str | None = None,
    task: str | None = None,
    source: str = "agent",
    believed: bool = False,
) -> OutcomeReport:
    """Takes feedback on a run; the utility of its skill follows, unless the run is one that a client made up.

    Args:
        store: The library.
        run_id: The id that a graph or a middleware returned. For work done elsewhere any text of the caller's own; then
            `skill` and `task` must be given, and the first report makes the run.
        reward: From 0 to 1.
        feedback: Why.
        skill: The live skill that was used, by name or ref.
        task: The work that was to be done, in words.
        source: Who says so; of one source the newest report of a run counts.
        believed: Whether a run that this report makes counts like a graph's; see `begin_run`.

    Raises:
        RunNotFoundError: no such run, and `skill` or `task` is missing.
        SkillNotFoundError: `skill` is not a live skill.
        ConfigurationError: the reward is not a number from 0 to 1, or a text is too long.
    """
    _check_length("feedback", feedback)
    try:
        Verdict(reward)
    except VerifierError as exc:
        raise ConfigurationError(f"the reward is {reward!r:.80}; give a number from 0 to 1") from exc
    try:
        return _reported(store, run_id, reward, feedback, source)
    except RunNotFoundError as exc:
        if skill is None or task is None:
            raise RunNotFoundError(
                f"no run {run_id!r} in namespace {store.namespace!r}; pass the run_id that the graph returned, or for work "
                "outside a graph also the skill and the task"
            ) from exc
    begin_run(store, skill, task, run_id=run_id, believed=believed)
    return _reported(store, run_id, reward, feedback, source)


def _reported(store: SkillStore, run_id: str, reward: float, feedback: str | None, source: str) -> OutcomeReport:
    recorded = store.record_outcome(run_id, reward, feedback, source=source)
    claimed = any(rollout.purpose == "claim" for rollout in store.runs.rollouts(run_id))
    return OutcomeReport(run_id=run_id, recorded=recorded, counted=recorded and not claimed)


def begin_run(store: SkillStore, skill: str, task: str, *, run_id: str | None = None, believed: bool = False) -> str:
    """Notes that a live skill is used on a task outside a graph; returns the run's id, for `report_outcome`.

    Nobody saw the run. Unless it is `believed` it is kept as a claim: no report on it moves a utility, and with it neither search,
    pruning nor the fall-back to an earlier version; nothing is trained on it.

    Raises:
        SkillNotFoundError: `skill` is not a live skill.
        InvalidTaskError: the task is empty.
        ConfigurationError: it is too long.
    """
    _check_length("task", task)
    run_id = run_id or f"run_{uuid.uuid4().hex}"
    # Without a reward of its own: the feedback brings it, and the same feedback counts once.
    used = Rollout(generation=0, answer="", skill=live_skill(store, skill).ref, purpose="run" if believed else "claim")
    work = Task(task, split="train") if believed else Task(task, family=CLAIMED, split="train")
    store.runs.record(work, [used], run_id=run_id, chosen=used)
    return run_id


def propose_skill(store: SkillStore, text: str) -> Proposal:
    """Takes a SKILL.md text that an agent wrote: a new skill, or the next version of the one with its name. It is staged.

    Raises:
        InvalidSkillError: the text breaks the rules of SKILL.md, is the same as a version that exists, or the scanner refuses it.
        StoreError: as many proposals wait for a decision as may.
    """
    if (waiting := proposals_waiting(store)) >= MOST_WAITING:
        raise StoreError(
            f"{waiting} proposals wait for a decision, and no more are taken; ask a person to decide on some "
            "(skill-plugin status), and propose this again later"
        )
    try:
        proposed = store.add_text(text, author="generator")
    except DuplicateSkillError:
        proposed = store.revise_text(skill_md.parse(text).name, text, author="generator")
    reason = f"held for a person: {sentence(of('hold', scan_text(store, text)), words=False)}" if proposed.held else ""
    return Proposal(
        name=proposed.name, ref=proposed.ref, version=proposed.version, status=proposed.status, reason=reason
    )


def live_skill(store: SkillStore, name: str) -> Skill:
    """Returns a live skill; without one, raises an error that names the tool to go on with, not a command of the shell."""
    try:
        skill = store.get(name)
    except SkillNotFoundError as exc:
        shown = [one.name for one in store.list("live") if is_shown(store, one)]
        near = get_close_matches(str(name), shown, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "find one with search_skills"
        raise SkillNotFoundError(f"no skill {name!r:.200} is live; {hint}") from exc
    if skill.status != "live":
        raise SkillNotFoundError(f"skill {name!r} is {skill.status}, not live; find one that is with search_skills")
    if not is_shown(store, skill):
        why = why_hidden(skill.tier, least_tier(store))
        raise SkillNotFoundError(f"skill {name!r} is held back: {why}; find another with search_skills")
    return skill


def _check_length(name: str, text: object) -> None:
    if isinstance(text, str) and len(text) > LONGEST:
        raise ConfigurationError(f"the {name} has {len(text)} characters; give at most {LONGEST}: what matters of it")
