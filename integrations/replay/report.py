"""The result of a replay: which failures would have been solved, by which text, with which proof, at which price."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from skill_plugin.gates.decision import GateDecision

Outcome = Literal["solved", "same task only", "passes anyway", "unsolved", "not tried"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True, kw_only=True)
class PassedTrials:
    """Trials of a task: how many passed, of those that were judged, and the last answer with what was said of it."""

    passed: int
    trials: int
    answer: str = ""
    feedback: str = ""

    @property
    def solves(self) -> bool:
        return self.trials > 0 and self.passed == self.trials


@dataclass(frozen=True, kw_only=True)
class ReplayedFailure:
    """A recorded failure, and the result of its replay.

    Args:
        task: The task's text.
        family: Its family.
        where: `file:line` of the recording.
        recorded: The recorded answer.
        reward: The recorded reward.
        feedback: What was said of it.
        heldout: Whether it was kept from every writer of skills.
        outcome: `solved` by a skill that the gate accepted; `same task only`, by a text that nothing could check on other tasks, or that
            the gate refused; `passes anyway`, without a skill; `unsolved`; or `not tried`.
        skill: `skill_id@version` of the skill that a run was shown, or of the text that solved it.
        unseen: Whether the writer of that text had not seen this failure; None where no skill solved it.
        before: Trials without a skill.
        after: Trials under that skill.
        reason: Why it was not tried, or what went wrong.
    """

    task: str
    family: str
    where: str
    recorded: str
    reward: float | None
    feedback: str
    heldout: bool
    outcome: Outcome
    skill: str | None = None
    unseen: bool | None = None
    before: PassedTrials | None = None
    after: PassedTrials | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ReplayedSkill:
    """A text that was written.

    Args:
        ref: `skill_id@version`.
        name: Its name.
        text: The SKILL.md text.
        accepted: Whether the gate accepted it, so that it would be live.
        reason: The gate's reason; where no gate was asked, what is known of it.
        decision: The gate's numbers, if it was asked.
        written_from: Failures that its writer had seen.
        solved: Failures that it solved.
        solved_unseen: Those among them that its writer had not seen.
    """

    ref: str
    name: str
    text: str
    accepted: bool
    reason: str
    decision: GateDecision | None
    written_from: int
    solved: int
    solved_unseen: int


@dataclass(frozen=True, kw_only=True)
class ReplayPrice:
    """What a replay cost. Tokens are what the models reported; 0 where they reported none."""

    calls: int
    cap: int
    runs: int
    texts: int
    judge_calls: int
    input_tokens: int
    output_tokens: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ReplayReport:
    """The result of a replay.

    Args:
        source: What was read: the file, its runs, tasks, failures, refused rows.
        failures: Every failure that was drawn.
        left_out: Failures that the cap has no room for.
        unjudged: Failures for which nothing says how to judge a new answer.
        skills: Texts that the gate accepted, then those that solved their own task alone.
        refused: Further texts that the gate refused: name and reason.
        guards: Recorded successes by which the gate saw what a skill breaks.
        price: What it cost.
        stopped: Why it ended early; None if it did not.
        simulated: Whether a model was simulated.
        model_alone: Whether a chat model stood for the agent, without its tools.
        agent_seen: Whether the agent's model calls went through LangChain.
        agreement: Recorded outcomes on which the verifiers agree, and how many they judged.
        settings: The exact settings.
    """

    source: Mapping[str, Any]
    failures: Sequence[ReplayedFailure]
    left_out: int
    unjudged: int
    skills: Sequence[ReplayedSkill]
    refused: Sequence[Mapping[str, str]]
    guards: int
    price: ReplayPrice
    stopped: str | None
    simulated: bool
    model_alone: bool
    agent_seen: bool
    agreement: tuple[int, int]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def having(self, *outcomes: Outcome) -> list[ReplayedFailure]:
        return [one for one in self.failures if one.outcome in outcomes]

    @property
    def headline(self) -> str:
        """Returns the result in one sentence."""
        return f"{len(self.having('solved'))} of {many(len(self.failures), 'failure')} would have been solved"

    @property
    def proof(self) -> str:
        """Returns how far the proof carries, in one sentence; empty where nothing was solved."""
        solved = self.having("solved")
        if not solved:
            return ""
        unseen = [one for one in solved if one.unseen]
        heldout = sum(one.heldout for one in unseen)
        if not unseen:
            return "The writer of the skill had been shown each of them, so they prove less than the gate's held-out tasks do."
        others = len(solved) - len(unseen)
        return (
            f"Of these {len(solved)}, {len(unseen)} had never been shown to the writer of the skill ({heldout} held out from every writer)"
            + (f"; it had been shown the other {others}, which prove less." if others else ".")
        )

    @property
    def caveats(self) -> list[str]:
        """Returns what a reader has to know before believing the rest, a sentence each."""
        agreed, judged = self.agreement
        runs, cap = self.source["runs"], self.price.cap
        silent = runs - self.source["runs with a reward"]
        count = {outcome: len(self.having(outcome)) for outcome in OUTCOMES}
        untried = count["not tried"]
        said = {
            "Simulated models took part (rules, not weights): this shows how a replay works, not what a model would do.": self.simulated,
            "A chat model was asked alone, before and after: not your agent with its tools and prompts; name that with --agent.": (
                self.model_alone
            ),
            f"It ended early: {self.stopped}.": self.stopped,
            f"{many(untried, 'failure')} could not be tried to the end, and count as not solved; each says why.": untried,
            f"{many(self.left_out, 'more failure')} had to be left out to stay within {cap} calls; a higher --max-calls tries more.": self.left_out,
            f"{silent} of the {runs} runs have no reward, so nothing says whether they failed.": silent,
            f"{many(self.unjudged, 'failure')} had to be left out because nothing says how to judge a new answer; see --verifier.": self.unjudged,
            f"The verifier agrees with the recording on {agreed} of {judged} runs, so it judges otherwise than whoever did.": judged
            > agreed,
            f"{many(count['same task only'], 'failure')} passed only under a text that was written from that very task and that no gate accepted. That "
            "proves little, and does not count.": count["same task only"],
            "No task was held out, so no gate could check a text; give traces with more failures.": not self.guards
            and not any(one.heldout for one in self.failures),
            f"{many(count['passes anyway'], 'failure')} passed this time without any skill, which does not count as solved.": count[
                "passes anyway"
            ],
            "The agent's model is not called through LangChain: each of its runs counts as one call, and its tokens are not "
            "known.": not self.agent_seen,
        }
        return [sentence for sentence, applies in said.items() if applies]

    def to_json(self) -> dict[str, Any]:
        counts = {outcome: len(self.having(outcome)) for outcome in OUTCOMES}
        said = {"headline": self.headline, "proof": self.proof, "caveats": self.caveats, "outcomes": counts}
        return said | asdict(self)


def many(count: int, noun: str) -> str:
    """Returns a count with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
