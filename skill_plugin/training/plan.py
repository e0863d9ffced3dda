"""Plan of a training run, which is kept as `plan.json` in its folder."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.settings import AdvantageSettings, LossSettings, TrainSettings

PLAN = "plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """Plan of a training run on the groups in its folder.

    Args:
        base_model: A folder, or a name on the Hugging Face Hub.
        parent: The folder of the adapter that is trained further; None begins a new one.
        parent_checkpoint: That adapter's name in the histories.
        train: Settings of the training.
        loss: Settings of a token's loss.
        advantage: Settings by which the groups' rewards became advantages.
        data: Origin of the groups, for people: files, or a store and its window.
    """

    base_model: str
    parent: str | None = None
    parent_checkpoint: str | None = None
    train: TrainSettings = field(default_factory=TrainSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    advantage: AdvantageSettings = field(default_factory=AdvantageSettings)
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> Literal["base", "behaviour"]:
        """The policy that the KL term is measured to; see `LossSettings`."""
        if self.loss.reference != "auto":
            return self.loss.reference
        return "base" if self.parent is None else "behaviour"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Reads what `to_json` wrote. A plan from before siblings counted judges by the text's own task alone.

        Raises:
            ConfigurationError: a setting is unknown or out of its range.
        """
        parts = {"train": TrainSettings, "loss": LossSettings, "advantage": AdvantageSettings}
        if "advantage" in value:
            value = value | {"advantage": {"credit": "skill-r1"} | value["advantage"]}
        try:
            given = {key: parts[key](**_tuples(one)) if key in parts else one for key, one in value.items()}
            return cls(**given)
        except TypeError as exc:
            raise ConfigurationError(f"a training plan cannot be read ({exc}); write it with this release") from exc


def _tuples(value: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(one) if isinstance(one, list) else one for key, one in value.items()}
