"""The tools of an agent on the library, as plain functions: LangChain's tools and the MCP server are made of these.

Arguments and results are JSON. Everything an agent passes is data from outside: it sees live skills only, and what it
writes is staged. Errors are this library's own, one line each, made to be shown to a model.
"""

import uuid
from difflib import get_close_matches
from typing import NotRequired

from typing_extensions import TypedDict

from skill_plugin.errors import (
    ConfigurationError,
    DuplicateSkillError,
    RunNotFoundError,
    SkillNotFoundError,
    VerifierError,
)
from skill_plugin.records import Rollout, Skill, Task, Verdict
from skill_plugin.scanning.findings import of, sentence
from skill_plugin.skills import skill_md
from skill_plugin.store import SkillStore, scan_text

DEFAULT_K = 3


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
    """A live skill; `ref` is its `skill_id@version`, `text` the whole SKILL.md."""

    name: str
    ref: str
    description: str
    utility: float | None
    uses: int
    text: str


class OutcomeReport(TypedDict):
    """An answer to feedback; `counted` is false if the same feedback on the same run exists."""

    run_id: str
    counted: bool


class Proposal(TypedDict):
    """The result of a proposed text: a version of the skill `name` that waits for the gate or a person.

    Where the scanner holds it (`quarantined`), `reason` says which rule does.
    """

    name: str
    ref: str
    version: int
    status: str
    reason: NotRequired[str]


def search_skills(store: SkillStore, query: str, k: int = DEFAULT_K) -> SearchResult:
    """Finds the live skills for a task, at most `k`, best first.

    Raises:
        ConfigurationError: the query is empty, or `k` is not from 1 to 20.
    """
    hits = store.search(query, k)
    return SearchResult(
        skills=[
            SkillSummary(
                name=hit.name,
                ref=hit.ref,
                description=hit.description,
                score=round(hit.score, 4),
                utility=hit.utility,
            )
            for hit in hits
        ],
        reason=hits.reason,
    )


def get_skill(store: SkillStore, name: str) -> SkillText:
    """Returns the text of a live skill, by name, id, `name@2` or `id@2`.

    Raises:
        SkillNotFoundError: there is none, or it is not live.
    """
    skill = live_skill(store, name)
    return SkillText(
        name=skill.name,
        ref=skill.ref,
        description=skill.description,
        utility=skill.utility,
        uses=skill.uses,
        text=skill.text,
    )


def report_outcome(
    store: SkillStore,
    run_id: str,
    reward: float,
    feedback: str | None = "",
    *,
    skill: str | None = None,
    task: str | None = None,
) -> OutcomeReport:
    """Takes feedback on a run; the utility of its skill follows.

    Args:
        store: The library.
        run_id: The id that a graph or a middleware returned. For work done elsewhere any text of the caller's own; then
            `skill` and `task` must be given, and the first report makes the run.
        reward: From 0 to 1.
        feedback: Why.
        skill: The live skill that was used, by name or ref.
        task: The work that was to be done, in words.

    Raises:
        RunNotFoundError: no such run, and `skill` or `task` is missing.
        SkillNotFoundError: `skill` is not a live skill.
        ConfigurationError: the reward is not a number from 0 to 1.
    """
    try:
        Verdict(reward)
    except VerifierError as exc:
        raise ConfigurationError(f"the reward is {reward!r:.80}; give a number from 0 to 1") from exc
    try:
        return OutcomeReport(run_id=run_id, counted=store.record_outcome(run_id, reward, feedback))
    except RunNotFoundError as exc:
        if skill is None or task is None:
            raise RunNotFoundError(
                f"no run {run_id!r} in namespace {store.namespace!r}; pass the run_id that the graph returned, or for work "
                "outside a graph also the skill and the task"
            ) from exc
    begin_run(store, skill, task, run_id=run_id)
    return OutcomeReport(run_id=run_id, counted=store.record_outcome(run_id, reward, feedback))


def begin_run(store: SkillStore, skill: str, task: str, *, run_id: str | None = None) -> str:
    """Notes that a live skill is used on a task outside a graph; returns the run's id, for `report_outcome`.

    Raises:
        SkillNotFoundError: `skill` is not a live skill.
        InvalidTaskError: the task is empty.
    """
    run_id = run_id or f"run_{uuid.uuid4().hex}"
    # Without a reward of its own: the feedback brings it, and the same feedback counts once.
    used = Rollout(generation=0, answer="", skill=live_skill(store, skill).ref)
    store.runs.record(Task(task, split="train"), [used], run_id=run_id, chosen=used)
    return run_id


def propose_skill(store: SkillStore, text: str) -> Proposal:
    """Takes a SKILL.md text that an agent wrote: a new skill, or the next version of the one with its name. It is staged.

    Raises:
        InvalidSkillError: the text breaks the rules of SKILL.md, is the same as a version that exists, or the scanner refuses it.
    """
    try:
        proposed = store.add_text(text, author="generator")
    except DuplicateSkillError:
        proposed = store.revise_text(skill_md.parse(text).name, text, author="generator")
    said = Proposal(name=proposed.name, ref=proposed.ref, version=proposed.version, status=proposed.status)
    if proposed.held:
        said["reason"] = f"held for a person: {sentence(of('hold', scan_text(store, text)), words=False)}"
    return said


def live_skill(store: SkillStore, name: str) -> Skill:
    """Returns a live skill; where there is none, an error that names the tool to go on with, not a command of the shell."""
    try:
        skill = store.get(name)
    except SkillNotFoundError as exc:
        near = get_close_matches(str(name), [one.name for one in store.list("live")], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "find one with search_skills"
        raise SkillNotFoundError(f"no skill {name!r:.200} is live; {hint}") from exc
    if skill.status != "live":
        raise SkillNotFoundError(f"skill {name!r} is {skill.status}, not live; find one that is with search_skills")
    return skill
