"""The node that judges the answer."""

import json
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import takewhile, zip_longest
from typing import Any, NamedTuple, Self

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from skill_plugin import verifiers
from skill_plugin.errors import InvalidTaskError, VerifierError
from skill_plugin.graphs.answers import NO_ANSWER, Answer, answer_in
from skill_plugin.graphs.nodes.node import SkillNode, Step
from skill_plugin.graphs.observe import emit
from skill_plugin.graphs.state import PinnedSkill, history, messages_of, reads_with, run_of
from skill_plugin.graphs.trace import tools_in
from skill_plugin.graphs.watch import SkillWatch
from skill_plugin.protocols import Verifier
from skill_plugin.records import Generation, Rollout, Task, Verdict, canonical_json
from skill_plugin.verifiers.adherence import Adherence, adherence_of

_log = logging.getLogger(__name__)

AnswerFrom = Callable[[Mapping[str, Any]], str | Answer]


def verify_node(
    verifier: Verifier | Callable[[Task, str], Any] | None = None,
    *,
    adherence: Adherence | None = None,
    timeout: float = 30.0,
    answer_from: AnswerFrom | None = None,
    state_schema: type | None = None,
    watch: SkillWatch | None = None,
) -> SkillNode:
    """Judges the answer and appends the generation to the run's history.

    A verifier that crashes, hangs or returns no verdict is a system error: it is recorded without a reward, and the
    run ends. It never counts as a reward of 0, which would punish a good skill. The same goes for a message of the host's own
    agent that is not an answer, because it has no text. One that the token limit cut off is judged as it stands, and noted.

    Args:
        verifier: An object with `verify(task, answer)`, or a function of the same. It judges tasks that name none, and those
            that were logged with it; a name that can be loaded goes first (see `verifiers.verifier_of`). Without either
            the run has no reward now, and `store.record_outcome` can give it later.
        adherence: Says how far a skill was followed, in [0, 1]; it weighs the skill's credit, and is asked about each skill that
            was shown. Where it fails, the answer counts as if it had not been judged.
        timeout: Seconds until a verifier counts as hung.
        answer_from: Finds the answer in the state; by default what `execute` left, else its structured response or the last text
            since the last human message. Without an answer the run has no reward.
        state_schema: The host's state class, needed if `answer_from` reads other keys than `messages`.
        watch: Knows what the model calls of the host's own nodes saw. A skill that none of them saw is not credited.
    """
    default = None if verifier is None else _Judge.of(verifiers.as_verifier(verifier))
    named = default and verifiers.spec(default.verifier)

    @lru_cache(maxsize=1024)
    def judge_of(spec: str) -> _Judge:
        logged, own = json.loads(spec), default and default.verifier
        found = verifiers.verifier_of(logged, own)
        if said := verifiers.otherwise([Task("a task", verifier=logged)], own):
            _log.warning("%s", said)
        return default if default is not None and found is own else _Judge.of(found)

    def body(state: Mapping[str, Any], _: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
        run = run_of(state)
        task = Task.from_json(run["task"])
        judge = default
        if task.verifier is not None:
            spec = canonical_json(task.verifier)
            judge = yield Step(lambda: judge_of(spec))  # its fingerprint reads a source file
        answer, error, note = _own_answer(answer_from(state)) if answer_from else current_answer(state)
        verdict: Verdict | None = None
        attempt = state.get("skillp_attempt") or {}
        if judge is not None and error is None:
            try:
                verdict = yield Step(
                    lambda: verifiers.run(judge.verifier, task, answer, timeout=timeout),
                    lambda: verifiers.arun(judge.verifier, task, answer, timeout=timeout),
                )
            except VerifierError as exc:
                error = str(exc)
        refs = [skill["ref"] for skill in state.get("skillp_skills") or []]
        unseen = attempt.get("unseen") if watch is None else watch.unseen(run["run_id"], refs)
        followed: list[float | None] = [attempt.get("adherence")]
        if adherence is not None and verdict is not None:
            followed = yield from _followed(adherence, task, answer, state.get("skillp_skills") or [], *followed)
        generation = judged(
            state,
            answer,
            verdict,
            error="; ".join(filter(None, (error, note))) or None,
            verifier_hash=judge and judge.fingerprint,
            adherence=followed,
            unseen=unseen,
        )
        said: dict[str, Any] = {
            "run_id": run["run_id"],
            "generation": generation.number,
            "reward": verdict.reward if verdict else None,
            "passed": verdict.passed if verdict else None,
        }
        adhered = generation.rollouts[0].adherence
        seen = generation.rollouts[0].seen
        facts = {**said, "adherence": adhered, "verifier_failed": error is not None, "seen": seen}
        emit("verified", facts, **said, seen=seen, feedback=verdict.feedback if verdict else "", error=error)
        if task.verifier is None and default is not None:
            run = {**run, "verifier": named}
        return {
            "skillp_run": run,
            "skillp_attempt": None,
            "skillp_history": [*(state.get("skillp_history") or []), generation.to_json()],
        }

    return SkillNode("verify", body, reads_with(state_schema))


def judged(
    state: Mapping[str, Any],
    answer: str,
    verdict: Verdict | None,
    *,
    error: str | None = None,
    verifier_hash: str | None = None,
    adherence: Sequence[float | None] = (),
    unseen: Sequence[str] | None = None,
) -> Generation:
    """Returns the generation that an answer and its verdict make; `adherence` is of each skill that was shown, where it is known."""
    skills = state.get("skillp_skills") or []
    attempt = state.get("skillp_attempt") or _used(messages_of(state))
    number = len(history(state))
    followed = dict(zip_longest((skill["ref"] for skill in skills), adherence))
    followed |= dict.fromkeys((ref for ref in followed if ref in (unseen or ())), 0.0)
    first = skills[0]["ref"] if skills else None
    own = followed.pop(first, None)
    rollout = Rollout(
        generation=number,
        answer=answer,
        skill=first,
        also=followed,
        withheld=run_of(state)["withheld"],
        arm=run_of(state)["arm"],
        adherence=attempt.get("adherence") if own is None else own,
        reward=verdict.reward if verdict else None,
        passed=verdict.passed if verdict else None,
        feedback=verdict.feedback if verdict else "",
        error=error,
        seen=None if unseen is None or first is None else first not in unseen,
        tools=tuple(attempt["tools"]) if "tools" in attempt else tools_in(messages_of(state)),
        verifier_hash=verifier_hash,
        model=attempt.get("model"),
        input_tokens=attempt.get("input_tokens"),
        output_tokens=attempt.get("output_tokens"),
        latency_s=attempt.get("latency_s"),
    )
    return Generation(
        number=number, skill=rollout.skill, text=skills[0]["text"] if skills else None, rollouts=(rollout,)
    )


def _followed(
    judge: Adherence, task: Task, answer: str, skills: Sequence[PinnedSkill], first: float | None
) -> Generator[Step, Any, list[float | None]]:
    """Asks how far each skill was followed; `first` says it of the first one, where that is known already."""
    followed: list[float | None] = [] if first is None else [first]
    for skill in skills[len(followed) :]:
        score: float | None = yield Step(partial(adherence_of, judge, task, answer, skill["text"]))
        followed.append(score)
    return followed


def current_answer(state: Mapping[str, Any]) -> Answer:
    """Returns what `execute` left, else the answer in the host's messages.

    Raises:
        InvalidTaskError: there is neither.
    """
    attempt = state.get("skillp_attempt")
    if attempt is not None:
        return Answer(str(attempt["answer"]), attempt.get("error"), attempt.get("note"))
    if (found := answer_in(state)) is not None:
        return found
    raise InvalidTaskError(
        f"no answer in the state (keys: {sorted(state)}); put execute_node before, or pass answer_from"
    )


def _own_answer(answer: object) -> Answer:
    """Checks what the host's own `answer_from` found."""
    if isinstance(answer, Answer):  # of `add_skills`
        return answer
    if isinstance(answer, str):
        return Answer(answer, None if answer.strip() else f"{NO_ANSWER} (answer_from found none)")
    return Answer("", f"answer_from returned {answer!r:.80}; return the answer's text")


def _used(messages: Sequence[BaseMessage]) -> dict[str, Any]:
    """Model and tokens of the replies since the last human message, where a host's own nodes called the model."""
    turn = takewhile(lambda message: not isinstance(message, HumanMessage), reversed(messages))
    replies = [message for message in turn if isinstance(message, AIMessage)]
    used = [reply.usage_metadata for reply in replies if reply.usage_metadata]
    return {
        "model": next((name for reply in replies if (name := reply.response_metadata.get("model_name"))), None),
        "input_tokens": sum(usage["input_tokens"] for usage in used) or None,
        "output_tokens": sum(usage["output_tokens"] for usage in used) or None,
    }


class _Judge(NamedTuple):
    """A verifier with its fingerprint, which is not cheap enough to take for every answer."""

    verifier: Verifier
    fingerprint: str

    @classmethod
    def of(cls, verifier: Verifier) -> Self:
        return cls(verifier, verifiers.fingerprint(verifier))
