"""How often a skill's text reached a model."""

from dataclasses import dataclass

from sqlalchemy import case, func
from sqlmodel import Session, col, select

from skill_plugin.records import split_ref
from skill_plugin.store.skills import versions
from skill_plugin.store.tables import RolloutRow


@dataclass(frozen=True, slots=True)
class Sightings:
    """The runs that were shown a skill.

    Args:
        runs: All of them.
        watched: Those of which it is known whether a model saw the text; of imported runs, and of runs from before it was
            looked at, it is not.
        seen: Those in which a model's call held the text.
    """

    runs: int
    watched: int
    seen: int

    @property
    def sentence(self) -> str:
        if not self.watched:
            return "not known whether a model saw it: no call was watched" if self.runs else "shown in no run"
        of = f"{self.watched} runs" if self.watched == self.runs else f"{self.watched} watched runs, of {self.runs}"
        return f"seen by a model in {self.seen} of {of}"


def sightings(session: Session, namespace: str, name: str) -> Sightings:
    """Counts the runs that were shown a skill; with `name@2` those that were shown this version."""
    skill_name, number = split_ref(name)
    skill = versions.find_skill(session, namespace, skill_name)
    run, seen = col(RolloutRow.run_id), col(RolloutRow.seen)
    shown = select(
        func.count(run.distinct()),
        func.count(case((seen.is_not(None), run)).distinct()),
        func.count(case((seen.is_(True), run)).distinct()),
    ).where(RolloutRow.namespace == namespace, RolloutRow.skill_id == skill.id)
    if number is not None:
        shown = shown.where(RolloutRow.version == number)
    return Sightings(*session.exec(shown).one())
