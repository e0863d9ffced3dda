"""Adapters that come with this package, by which a small model writes well-formed skills from the first night."""

from pathlib import Path

from skill_plugin.errors import ConfigurationError
from skill_plugin.models.adapter_files import verify_adapter

STARTER = "starter"
"""Stands after the `@` of a generator's name for the adapter that comes with its model."""

FOLDER = Path(__file__).parent / "adapters"

STARTERS = {"smollm2-135m": "22dfd145094f8c39b639236a6f2f9c80cf2bca0f52c991905ccfbe1b5b3e23d6"}
"""The hash of each model's starter, as `adapter_sha256` has it; its folder in `FOLDER` has the model's name, and a card."""


def starter_folder(model: str | Path) -> Path:
    """Returns the folder of a model's starter.

    Args:
        model: The model's short name, or its folder, which has that name.

    Raises:
        ConfigurationError: none comes with this model, or its files have changed.
    """
    name = Path(model).name
    if name not in STARTERS:
        raise ConfigurationError(
            f"no starter comes with the model {str(model)!r}, only with {', '.join(STARTERS)}; name an adapter's folder"
        )
    verify_adapter(FOLDER / name, STARTERS[name])
    return FOLDER / name
