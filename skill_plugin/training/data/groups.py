"""Candidate groups, which the trainer learns from: one JSON line each, read one at a time.

A folder of lines with the places where they begin is all that random access needs, can be read with any tool, and is
not a pickle.
"""

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any, BinaryIO, Self

from skill_plugin.errors import InvalidHistoryError

LINES, OFFSETS = "groups.jsonl", "groups.offsets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A revision to learn from.

    `pull` and `push` are its advantages A(k) over the K rollouts, split by sign: `pull = mean_k max(A(k), 0)` makes its tokens
    likelier, `push = mean_k min(A(k), 0)` less likely. That is all that the clipped surrogate needs of them, because all K
    rollouts share the candidate's tokens and so the ratio (see `loss`).

    Args:
        number: Its place in the group.
        completion_token_ids: Its token ids, shape [T], with the token that ended it.
        logprobs: Log-probabilities of those tokens when they were sampled, at the group's temperature, shape [T].
        rewards: Rewards on the task that it was written from, shape [K]; for a malformed text the one reward that it is
            given.
        pull: Mean positive part of its advantages, from 0.
        push: Mean negative part of its advantages, up to 0.
        checkpoint: The adapter that wrote it; None is the base model.
        well_formed: Whether it was a skill.
        reward: R(c), its worth beside the others of its group; None is the mean of `rewards`.
        gain: R(c) - R(parent) on the same tasks; None is `reward` less the mean of the group's `previous_rewards`.
    """

    number: int
    completion_token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    rewards: tuple[float, ...]
    pull: float
    push: float
    checkpoint: str | None = None
    well_formed: bool = True
    reward: float | None = None
    gain: float | None = None

    @property
    def worth(self) -> float:
        """R(c), the candidate's worth."""
        return fmean(self.rewards) if self.reward is None else self.reward


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The candidates of one prompt.

    Args:
        id: The group's id in the histories.
        task: The task's content hash, which decides if the group is held back for validation.
        family: The task's family.
        generation: g, from 1.
        prompt_token_ids: Token ids of the prompt, shape [P].
        temperature: The temperature of the candidates' sampling; log-probabilities are of logits / temperature.
        candidates: Candidates that are learned from, C or fewer.
        previous_rewards: All rewards of generation g - 1 on this task.
        siblings: Content hashes of the tasks that its candidates are compared on; empty for their own task alone.
    """

    id: str
    task: str
    family: str
    generation: int
    prompt_token_ids: tuple[int, ...]
    temperature: float
    candidates: tuple[Candidate, ...]
    previous_rewards: tuple[float, ...] = ()
    siblings: tuple[str, ...] = ()

    @property
    def completion_tokens(self) -> int:
        return sum(len(candidate.completion_token_ids) for candidate in self.candidates)

    def to_json(self) -> dict[str, Any]:
        return _fields(self) | {"candidates": [_fields(one) for one in self.candidates]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        candidates = tuple(Candidate(**_tuples(one)) for one in value["candidates"])
        return cls(**_tuples(value) | {"candidates": candidates})


class GroupWriter:
    """Writes groups to a new folder, one after the other. A context manager."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lines: BinaryIO = (folder / LINES).open("wb")
        self._offsets: BinaryIO = (folder / OFFSETS).open("wb")
        self._at = 0

    def add(self, group: Group) -> None:
        line = json.dumps(group.to_json(), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        self._lines.write(line)
        self._offsets.write(array("Q", [self._at]).tobytes())
        self._at += len(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._offsets.close()


class Groups:
    """The groups of a folder. Holds eight bytes of memory for each, and no file open, so that processes may share it.

    Raises:
        InvalidHistoryError: the folder holds none, or its two files do not fit.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._offsets = array("Q")
        try:
            self._offsets.frombytes((folder / OFFSETS).read_bytes())
            size = (folder / LINES).stat().st_size
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else exc
            raise InvalidHistoryError(f"{str(folder)!r} holds no groups ({why}); build them again") from exc
        if bool(self._offsets) != bool(size) or any(last >= size for last in self._offsets[-1:]):
            raise InvalidHistoryError(f"the two files of {str(folder)!r} do not fit; build its groups again")

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, place: int) -> Group:
        """Reads the group at a place; raises `InvalidHistoryError` if the line there is not a group."""
        offset = self._offsets[place]
        try:
            with (self.folder / LINES).open("rb") as lines:
                lines.seek(offset)
                return Group.from_json(json.loads(lines.readline()))
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise InvalidHistoryError(f"group {place} of {str(self.folder)!r} is damaged; build them again") from exc

    def __iter__(self) -> Iterator[Group]:
        return (self[place] for place in range(len(self)))

    @property
    def sha256(self) -> str:
        """The hash of all lines."""
        digest = sha256()
        with (self.folder / LINES).open("rb") as lines:
            while some := lines.read(1 << 20):
                digest.update(some)
        return digest.hexdigest()


def _tuples(value: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(one) if isinstance(one, list) else one for key, one in value.items()}


def _fields(record: Group | Candidate) -> dict[str, Any]:
    """Returns a record's fields; `dataclasses.asdict` would copy every token, at ten times the price."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
