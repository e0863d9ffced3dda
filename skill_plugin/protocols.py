"""What can be plugged in: each is an object with one required method.

A verifier may also have `averify`, a generator `apropose`; where there is none, the sync method runs in a thread.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from skill_plugin.checkpoints import Checkpoint
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
        """Shape [texts, dimension]; every vector has length 1."""
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
