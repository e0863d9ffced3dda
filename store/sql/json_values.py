"""Values that a JSON column takes, checked before a transaction begins."""

import json
from collections.abc import Mapping
from typing import Any

from skill_plugin.errors import ConfigurationError


def plain_json(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Returns a copy of a value as the database gives it back.

    Args:
        value: Strings, numbers, booleans, None, lists and mappings.
        what: Its name, for the error.

    Raises:
        ConfigurationError: it holds something else, or a number that is not a number: PostgreSQL refuses NaN.
    """
    try:
        made: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(
            f"{what} cannot be kept as JSON: {exc}; use plain numbers, texts, lists and dicts"
        ) from exc
    return made
