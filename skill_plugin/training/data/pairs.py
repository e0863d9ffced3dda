"""Pairs to imitate: the messages of a prompt and the text to answer with, as JSON lines, whoever wrote the text.

They are texts and not token ids: a base model reads them by its own tokenizer and chat template when it is trained, so a
pair may come from any model, or from a person.
"""

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Self

from skill_plugin.errors import InvalidHistoryError
from skill_plugin.training.data.groups import Candidate, Group

FILE = "pairs.jsonl"

MAX_TEXTS = 8
"""The most texts of one prompt that are one group."""

Encode = Callable[["Pair"], tuple[Sequence[int], Sequence[int]]]
"""Returns the token ids of a pair's prompt, and of its text with the token that ends it; see `model.chat_tokens`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A prompt and the text to learn.

    Args:
        messages: The prompt, as `{"role": ..., "content": ...}`.
        completion: The text to answer with, to the letter; the end token is added when it is read.
        origin: Where it comes from, for people.

    Raises:
        InvalidHistoryError: it has no messages or no text, or a message is not a role with a text.
    """

    messages: tuple[Mapping[str, str], ...]
    completion: str
    origin: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.completion, str) or not self.completion.strip():
            raise InvalidHistoryError(f"a pair's completion is {self.completion!r:.60}; give a text")
        whole = all(isinstance(one, Mapping) and {"role", "content"} <= one.keys() for one in self.messages)
        texts = (one[key] for one in self.messages for key in ("role", "content")) if whole else ()
        if not (self.messages and whole and all(isinstance(text, str) for text in texts)):
            raise InvalidHistoryError("a pair's messages are not a list of roles with texts; give at least one message")

    @property
    def line(self) -> bytes:
        """The pair as a line of the file."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class PairWriter:
    """Writes pairs into a folder, one after the other. A context manager."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lines: BinaryIO = (folder / FILE).open("wb")

    def add(self, pair: Pair) -> None:
        self._lines.write(pair.line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()


class Pairs:
    """The pairs of a folder as groups, in the token ids of the model that will learn them.

    Pairs of the same messages that follow one another are one group, whose prompt is computed once. Holds eight bytes of memory
    for each group, and no file open.

    Args:
        folder: The folder that `PairWriter` wrote to.
        encode: Makes token ids of a pair.

    Raises:
        InvalidHistoryError: the folder holds no file of pairs.
    """

    def __init__(self, folder: Path, encode: Encode) -> None:
        self._path, self._encode = folder / FILE, encode
        self._offsets = array("Q")
        try:
            with self._path.open("rb") as lines:
                at, texts, before = 0, 0, b""
                for line in lines:
                    if line.strip():
                        texts = texts + 1 if (same := _messages_of(line)) == before and texts < MAX_TEXTS else 1
                        before = same
                        if texts == 1:
                            self._offsets.append(at)
                    at += len(line)
        except OSError as exc:
            raise InvalidHistoryError(
                f"{str(folder)!r} holds no pairs ({exc.strerror}); build the run's data again"
            ) from exc

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, place: int) -> Group:
        """Reads the pairs of one prompt.

        Raises:
            InvalidHistoryError: a line is not a pair, or its text cannot be learned by this model.
        """
        encoded = [self._encode(pair) for pair in self._read(place)]
        candidates = [
            Candidate(
                number=number,
                completion_token_ids=tuple(completion),
                logprobs=(0.0,) * len(completion),  # not known, and imitation does not ask
                rewards=(),
                pull=0.0,
                push=0.0,
                reward=0.0,
            )
            for number, (_, completion) in enumerate(encoded)
        ]
        return Group(
            id=f"pair {place}",
            task="",
            family="",
            generation=1,
            prompt_token_ids=tuple(encoded[0][0]),
            temperature=1.0,
            candidates=tuple(candidates),
        )

    def __iter__(self) -> Iterator[Group]:
        return (self[place] for place in range(len(self)))

    def _read(self, place: int) -> list[Pair]:
        end = self._offsets[place + 1] if place + 1 < len(self._offsets) else None
        found: list[Pair] = []
        try:
            with self._path.open("rb") as lines:
                lines.seek(self._offsets[place])
                while (end is None or lines.tell() < end) and (line := lines.readline()):
                    if line.strip():
                        value: dict[str, Any] = json.loads(line)
                        found.append(Pair(**value | {"messages": tuple(value["messages"])}))
        except InvalidHistoryError:
            raise
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
            raise InvalidHistoryError(f"pair {place} in {str(self._path)!r} is not a pair: {exc}") from exc
        return found


def _messages_of(line: bytes) -> bytes:
    """Returns what of a line says the messages; inside of a text the quotes of the mark would be escaped."""
    return line.partition(b',"completion":')[0]


def pairs_sha256(folder: Path) -> str | None:
    """Returns the hash of a folder's file of pairs; None if it has none."""
    path = folder / FILE
    if not path.exists():
        return None
    digest = sha256()
    with path.open("rb") as lines:
        while some := lines.read(1 << 20):
            digest.update(some)
    return digest.hexdigest()
