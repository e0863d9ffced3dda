"""Protocols of the parts that can be plugged in: each is an object with one required method.

A verifier may also have `averify`, a generator `apropose`; without one, the sync method runs in a thread.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from skill_plugin.checkpoints import Checkpoint
from skill_plugin.gates.decision import GateDecision
from skill_plugin.records import Generation, Revision, Task, Verdict


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors.

    `signature` names the model, its revision and its dimension. Vectors of two signatures are never compared, so it
    must change whenever the same text would get another vector.
    """

    @property
    def signature(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Returns vectors of shape [texts, dimension]; every vector has length 1."""
        ...


@runtime_checkable
class Verifier(Protocol):
    """Judges one answer. A malformed answer is a reward of 0 with feedback; only a broken verifier raises."""

    def verify(self, task: Task, answer: str) -> Verdict: ...


@runtime_checkable
class NamedVerifier(Verifier, Protocol):
    """A verifier that can be logged and built again by `verifiers.load`."""

    @property
    def name(self) -> str: ...

    @property
    def params(self) -> dict[str, Any]: ...


@runtime_checkable
class Generator(Protocol):
    """Writes revisions: `n` candidates from one prompt made of the task and its history (oldest first).

    The history begins with generation 0, what was tried first; where that was no skill, a first one is asked for. It is
    enough to fill in `Revision.completion`: a malformed one is never an exception. Raise only when the model could not
    be reached.
    """

    def propose(self, task: Task, history: Sequence[Generation], *, n: int) -> list[Revision]: ...


@runtime_checkable
class Backend(Protocol):
    """Makes the generators of one name; see `generators.BACKENDS`."""

    def make(self, checkpoint: Checkpoint | None) -> Generator:
        """Returns the generator with the adapter of a checkpoint; None is the base model, or the adapter that is named."""
        ...


class Match(Protocol):
    """A live skill that may be a hit. A strategy sets its `relevance`, from 0 to 1; 0 is not a hit.

    `cosine` says how near it is to the query in meaning; `extra` is added to the hit's `why`.
    """

    skill_id: str
    version: int
    name: str
    description: str
    utility: float | None
    uses: int
    cosine: float
    relevance: float
    extra: dict[str, Any]


class Lookup(Protocol):
    """One search's view of the library, for a `Strategy`."""

    query: str
    family: str | None

    def skills(self, ids: Sequence[str] | None = None) -> Sequence[Match]:
        """Returns the live skills of these ids; without ids every one."""
        ...

    def nearest(self, count: int | None = None) -> Sequence[str]:
        """Returns ids of the skills nearest to the query in meaning."""
        ...

    def by_words(self, known: Sequence[str]) -> Sequence[Match]:
        """Returns the skills of these ids, and those that have most words in common with the query."""
        ...


@runtime_checkable
class Strategy(Protocol):
    """Ranks skills for a query; see `store.STRATEGIES`. What it returns is ranked further by use, and copies are folded."""

    def rank(self, lookup: Lookup) -> Sequence[Match]:
        """Returns skills that the lookup gave, each with its relevance set."""
        ...


@runtime_checkable
class GateRule(Protocol):
    """Decides whether something better goes live, from held-out rewards with it and without; see `gates.versions.GATES`."""

    def decide(self, before: Sequence[float], after: Sequence[float]) -> GateDecision:
        """Returns the decision.

        Args:
            before: Reward of each held-out task with what is live now, shape [tasks].
            after: Reward of the same tasks with the candidate, shape [tasks].
        """
        ...


def name_of(plugged: object) -> str:
    """Returns the name of a part that was plugged in: the one that was given, else its own, else its class's."""
    return plugged if isinstance(plugged, str) else str(getattr(plugged, "name", type(plugged).__name__))
