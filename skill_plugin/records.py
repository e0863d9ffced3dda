"""The words of the product as records: plain, immutable, and made of JSON types only.

Nothing here needs a connection. A record is changed by making a new one (`dataclasses.replace`), and all of them
survive `to_json` / `from_json`, because LangGraph checkpoints hold plain JSON.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean
from typing import Any, Literal, Self

from skill_plugin.errors import InvalidTaskError, VerifierError
from skill_plugin.notebook import html_table, html_text

Status = Literal["staged", "live", "retired", "quarantined"]
Tier = Literal["unvetted", "tested", "vetted", "certified"]
Author = Literal["human", "generator", "import"]
Arm = Literal["skill", "control"]
Split = Literal["train", "heldout"]
Purpose = Literal["run", "later", "gate", "replay", "claim"]

CLAIMED = "claimed by clients"
"""The family of the tasks that clients say they worked on."""

DEFAULT_FAMILY = "default"

CUT_OFF = "the model's reply was cut off by its token limit"
"""How the error of a rollout or a revision begins that says so; see `Rollout.is_cut`."""
HELDOUT_SHARE = 0.2

_NUMBER = re.compile(r"[0-9]{1,20}")


def canonical_json(value: Any) -> str:
    """Returns one JSON text per value, whatever the order of its keys; a value that is not JSON is an error."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _shallow(record: Any) -> dict[str, Any]:
    """Returns a record's fields. `dataclasses.asdict` copies every value to its depth, at ten times the price."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Task:
    """One input to the agent, with a family, a verifier and a split.

    Args:
        input: The question that the agent is asked, as text.
        family: Tasks of one family are solved by the same kind of procedure.
        reference: The gold answer in any JSON form; the verifier knows what to make of it.
        verifier: `{"name": ..., "params": {...}}`, so that a logged task can be verified again.
        split: `train` tasks are shown to the generator, `heldout` tasks only to the gate. If it is not given, a hash
            of the input decides: about one in five is held out, the same ones on every machine.
        chain: Names a sequence of tasks that are worked on one after the other; a text that was written for one of them is
            judged on those that follow it (SAGE, arXiv:2512.17102).
        position: The place in the chain, from 0.

    Raises:
        InvalidTaskError: the input is empty, a part is not JSON, or only one of `chain` and `position` is given.
    """

    input: str
    family: str = DEFAULT_FAMILY
    reference: Any = None
    verifier: dict[str, Any] | None = None
    split: Split | None = None
    chain: str | None = None
    position: int | None = None
    id: str = field(init=False)
    content_hash: str = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.input, str) or not self.input.strip():
            raise InvalidTaskError(f"a task needs a text as its input, got {self.input!r}; give the question to solve")
        if not isinstance(self.family, str) or not self.family.strip():
            raise InvalidTaskError(f"a task's family must be a name, got {self.family!r}; leave it out for the default")
        if self.split not in (None, "train", "heldout"):
            raise InvalidTaskError(f"a task's split is 'train' or 'heldout', got {self.split!r}")
        if (self.chain is None) != (self.position is None):
            raise InvalidTaskError(
                f"a task of a chain needs both, got chain {self.chain!r} and position {self.position!r}; give both or none"
            )
        if self.chain is not None and (not isinstance(self.chain, str) or not self.chain.strip()):
            raise InvalidTaskError(f"a task's chain must be a name, got {self.chain!r}; leave it out for no chain")
        if self.position is not None and (type(self.position) is not int or self.position < 0):
            raise InvalidTaskError(f"a task's position is a whole number from 0, got {self.position!r}")
        # The same question is the same task for the split and for credit, however it is verified.
        content_hash = sha256(unicodedata.normalize("NFC", self.input.strip()))
        try:
            identity = canonical_json([self.family, self.input, self.reference, self.verifier])
        except (TypeError, ValueError) as exc:
            raise InvalidTaskError(f"a task must be made of JSON values: {exc}; task {self.input[:60]!r}") from exc
        split = self.split or ("heldout" if int(content_hash[:8], 16) < HELDOUT_SHARE * 2**32 else "train")
        object.__setattr__(self, "split", split)
        object.__setattr__(self, "content_hash", content_hash)
        object.__setattr__(self, "id", f"task_{sha256(identity)[:20]}")

    def to_json(self) -> dict[str, Any]:
        keys = ("input", "family", "reference", "verifier", "split", "chain", "position")
        return {key: getattr(self, key) for key in keys}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(**value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verifier's judgement of a rollout.

    Args:
        reward: The reward, in [0, 1].
        passed: Defaults to `reward >= 1`.
        feedback: The reason for the reward; the generator reads it.

    Raises:
        VerifierError: the reward is not a finite number in [0, 1].
    """

    reward: float
    passed: bool | None = None
    feedback: str = ""

    def __post_init__(self) -> None:
        reward = self.reward
        if isinstance(reward, bool):
            reward = float(reward)
        if not isinstance(reward, int | float) or not 0 <= reward <= 1:  # NaN is not either
            raise VerifierError(f"a reward is a number from 0 to 1, got {self.reward!r}; scale it, or fix the verifier")
        object.__setattr__(self, "reward", float(reward))
        if self.passed is None:
            object.__setattr__(self, "passed", reward >= 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One execution of a task by the task LLM under one skill version, or under none.

    `reward` is None where there was no verdict: no verifier, or one that failed (`error` says how). An answer that the token limit cut
    off is judged as it stands; `error` notes the cut beside the reward. A control rollout names
    in `withheld` the version that it would have run under. `adherence` in [0, 1] says how far the skill was followed; None is
    not judged, and counts as followed. `purpose` says what it was run for: `run` (a user's task, or a lineage's own), `later`
    (a sibling task, to judge a text by), `gate` (a held-out task, to decide a promotion), `replay` (what is live at the end
    of an `evolve`) or `claim` (a client says that it was run; such a run is kept and counts for nothing). `also` are further skills that were in the prompt, by `skill_id@version`, each with its own adherence.
    `source` names the run of another system that it was imported from. `seen` says whether the skill was in what reached a model; None
    is not known, as where the model is not called through LangChain. `tools` are the names of the tools that the agent called, in
    order, as far as they are known.
    """

    generation: int
    answer: str
    skill: str | None = None
    withheld: str | None = None
    arm: Arm = "skill"
    k: int = 0
    reward: float | None = None
    passed: bool | None = None
    adherence: float | None = None
    feedback: str = ""
    error: str | None = None
    verifier_hash: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_s: float | None = None
    purpose: Purpose = "run"
    also: Mapping[str, float | None] = field(default_factory=dict)
    source: str | None = None
    seen: bool | None = None
    tools: tuple[str, ...] = ()

    @property
    def is_cut(self) -> bool:
        """True if the model's token limit cut the answer off."""
        return CUT_OFF in (self.error or "")

    def to_json(self) -> dict[str, Any]:
        return _shallow(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(**{**value, "tools": tuple(value.get("tools", ()))})


def mean_reward(rollouts: Iterable[Rollout]) -> float | None:
    """Returns the mean over the rollouts that have a verdict; None if none has."""
    rewards = [rollout.reward for rollout in rollouts if rollout.reward is not None]
    return fmean(rewards) if rewards else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One text that the generator wrote, from one exact prompt.

    Args:
        completion: The text that the model wrote, to the letter.
        prompt: The messages that it was written from, as `{"role": ..., "content": ...}`.
        text: The SKILL.md text found in the completion; None if it was malformed.
        files: Changes of the files beside it: new contents by path, None for a file that is deleted.
        checks: What its functions' tests said before it was staged, as JSON; empty without functions.
        error: The reason why it was malformed; None if it was not.
        finish_reason: The reason why the model stopped: `stop` at its own end, `length` at the token limit; None is not
            known.
        sampling: Temperature and the like, as far as they are known.
        prompt_token_ids: Token ids of the prompt, shape [P].
        completion_token_ids: Token ids of the completion, shape [C].
        logprobs: Natural log-probabilities of the completion's tokens when they were sampled, shape [C].
        checkpoint: The adapter that wrote it; None is the base model.
        source: The run of another system that it was imported from.
    """

    completion: str
    prompt: tuple[Mapping[str, str], ...] = ()
    text: str | None = None
    files: Mapping[str, str | None] = field(default_factory=dict)
    checks: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    finish_reason: Literal["stop", "length"] | None = None
    model: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    prompt_token_ids: tuple[int, ...] | None = None
    completion_token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    checkpoint: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The step g of a lineage: generation 0 is the starting skill (or none), g = 1.. are revisions.

    A history is a sequence of these, the current skill's last; several candidates of one prompt have one number. `text` is
    the SKILL.md text that was tried; None means no skill, or a revision that was malformed, in which case `error` says why and
    `rollouts` is empty. `rejected` says why the gate on other tasks refused it. `task` is the input of another task of the
    family, where the rollouts are of that one or the rejected text was written for it. `worth` is the text's reward on the
    tasks that come next, if it is known (see `credit`). `files` are the scripts of the text's skill by path; `chain` the tools that
    runs of its family that passed called in this order, if it is long enough to be worth a function (see `shared_calls`).
    """

    number: int
    text: str | None
    skill: str | None = None
    rollouts: tuple[Rollout, ...] = ()
    error: str | None = None
    rejected: str | None = None
    task: str | None = None
    worth: float | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    chain: tuple[str, ...] = ()

    @property
    def mean_reward(self) -> float | None:
        """The mean over the rollouts that have a verdict, controls left out; None if none has."""
        return mean_reward(rollout for rollout in self.rollouts if rollout.arm == "skill")

    def to_json(self) -> dict[str, Any]:
        return _shallow(self) | {"rollouts": [rollout.to_json() for rollout in self.rollouts]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        rollouts = tuple(Rollout.from_json(rollout) for rollout in value["rollouts"])
        return cls(**{**value, "rollouts": rollouts, "chain": tuple(value.get("chain", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """A named procedure as the store knows it, seen at one of its versions.

    `status` is that of the version seen: a version waiting behind a live one is `staged`.
    `utility` is the exponential moving average of reward, in [0, 1]; None before the first observation.
    `tier` is the trust tier of the version seen (`skills.tiers`). `held` says why that version is held; it is empty if it is not.
    `files` are the paths of the files beside its text, `tree_sha256` the hash of both; empty without files.
    """

    id: str
    namespace: str
    name: str
    description: str
    version: int
    status: Status
    utility: float | None
    uses: int
    wins: int
    text: str
    author: Author
    generation: int
    parent: int | None
    live_version: int | None
    tier: Tier
    pinned: bool
    created_at: datetime
    held: str = ""
    files: tuple[str, ...] = ()
    tree_sha256: str = ""

    @property
    def ref(self) -> str:
        """`skill_id@version`, the name that a run pins."""
        return f"{self.id}@{self.version}"

    @property
    def trust(self) -> str:
        """The two words that there were before tiers, for one release; use `tier`."""
        return "unvetted" if self.tier == "unvetted" else "reviewed"

    def _repr_html_(self) -> str:
        keys = ("name", "ref", "status", "tier", "description", "utility", "uses", "author")
        return html_table((key, getattr(self, key)) for key in keys) + html_text(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillVersion:
    """One immutable SKILL.md text with its files (their paths), whose hash with it is `tree_sha256`, empty without files."""

    skill_id: str
    number: int
    generation: int
    parent: int | None
    text: str
    sha256: str
    author: Author
    status: Status
    tier: Tier
    revision_id: str | None
    created_at: datetime
    tree_sha256: str = ""
    files: tuple[str, ...] = ()
    may_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact of a skill's life: added, revised, promoted, refused, retired, ..."""

    kind: str
    at: datetime
    by: str
    version: int | None = None
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


def split_ref(ref: str) -> tuple[str, int | None]:
    """Splits `"id@3"` into `("id", 3)`; without a version `("id", None)`."""
    name, at, number = ref.rpartition("@")
    return (name, int(number)) if at and _NUMBER.fullmatch(number) else (ref, None)
