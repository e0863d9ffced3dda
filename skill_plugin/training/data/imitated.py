"""The revisions of any generator that supervised training may imitate, and the advice to begin with that.

A text to imitate needs neither token ids nor log-probabilities, and may be of any model. What it needs is to be good.
"""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from skill_plugin.errors import InvalidHistoryError, InvalidSkillError
from skill_plugin.histories.eligibility import NEGLIGIBLE
from skill_plugin.histories.worth import Worth
from skill_plugin.models.replies import document_in
from skill_plugin.training.data.pairs import Pair
from skill_plugin.training.data.revised import RecordedRevision

GOOD = 0.5
"""The least reward of a text that nothing can be compared with, because nothing was run under what it revised."""

FEW = 0.25
"""Below this share of skills among a base model's texts, most of what it is taught by rewards is noise."""

NOT_ENOUGH = 8
"""Fewer texts than this say nothing about a model."""

NotImitated = Literal[
    "heldout task",
    "malformed",
    "no prompt or no text was recorded",
    "did not beat what it revised",
    "held back",
    "twice",
]


@dataclass
class Imitable:
    """Chooses the revisions to imitate and counts them; each pair of a prompt and a text once.

    A revision is accepted that beat the text that it revised on the same tasks (`Worth.gain`), that the gate or a person made live, or,
    where nothing is known of what it revised, whose reward is at least `GOOD`. Never one that was written for a held-out
    task or a task that is held back for validation, and never a malformed one.

    Args:
        count: Pairs so far.
        refused: Number of other revisions by reason.
    """

    count: int = 0
    refused: Counter[NotImitated] = field(default_factory=Counter)
    _seen: set[bytes] = field(default_factory=set)

    def take(self, one: RecordedRevision, worth: Worth, *, held_back: bool) -> Pair | None:
        """Returns the pair to learn from a revision; None if it is refused."""
        found = self._pair(one, worth, held_back=held_back)
        if isinstance(found, Pair):
            self.count += 1
            return found
        self.refused[found] += 1
        return None

    def _pair(self, one: RecordedRevision, worth: Worth, *, held_back: bool) -> Pair | NotImitated:
        checks: tuple[tuple[NotImitated, bool], ...] = (
            ("heldout task", one.split != "train"),
            ("malformed", one.malformed),
            ("did not beat what it revised", not _accepted(one, worth)),
            ("held back", held_back),
        )
        if (why := next((reason for reason, holds in checks if holds), None)) is not None:
            return why
        try:
            # As the product read it: thinking, a fence and talk around the text are not to be learned.
            text = document_in(one.completion)
            pair = Pair(messages=one.prompt, completion=text, origin=f"{one.group_id} {one.candidate}")
        except (InvalidHistoryError, InvalidSkillError):
            return "no prompt or no text was recorded"
        key = sha256(repr((pair.messages, pair.completion)).encode()).digest()
        if key in self._seen:
            return "twice"
        self._seen.add(key)
        return pair


def _accepted(one: RecordedRevision, worth: Worth) -> bool:
    if one.went_live:
        return True
    if worth.gain is not None:
        return worth.gain > NEGLIGIBLE
    return worth.reward is not None and worth.reward >= GOOD


def cold_start(*, texts: int, skills: int, imitable: int) -> str | None:
    """Returns the advice to begin with supervised training, in a line; None where a model writes enough skills.

    Args:
        texts: Texts of the base model with token ids.
        skills: Those among them that are skills.
        imitable: Accepted texts of any generator.
    """
    if texts >= NOT_ENOUGH and skills >= FEW * texts:
        return None
    if texts < NOT_ENOUGH and (skills or not imitable):
        return None
    said = f"{skills} of {texts} texts of the base model are skills" if texts else "the base model has written no text"
    begin = "--set sft_epochs=2 --set sft_from=any"
    if imitable:
        return f"{said}: begin with {begin}, which imitates the {imitable} accepted texts of any generator"
    return f"{said}, and there are no accepted texts to imitate: evolve with a better generator first, then begin with {begin}"
