"""Manifest of a run: the facts by which it is told from another, repeated, and resumed."""

import json
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from skill_plugin import __version__
from skill_plugin.disk import whole_file
from skill_plugin.errors import ConfigurationError

PACKAGES = ("torch", "transformers", "peft", "accelerate")
DECIDING = ("data", "settings", "base_revision", "parent_sha256", "versions")
# Settings that say when to stop or to save, and do not change a step's result.
FREE = ("max_minutes", "snapshot_steps")


def manifest(
    plan: Mapping[str, Any],
    *,
    data: Mapping[str, Any],
    base_revision: str,
    parent_sha256: str | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Returns the manifest of a run, as JSON values.

    Args:
        plan: The plan, with `settings` (of `TrainSettings.to_json`), and `base_model` and `parent` as given.
        data: Facts that identify the groups: the hash of each of their files, the window (`since`, `until`), and the
            rest of the data set's report.
        base_revision: The base model's revision, from `base_models.base_revision`.
        parent_sha256: Hash of the adapter that is trained further.
        device: The device as torch names it, or the name of the GPU.
    """
    settings = dict(plan["settings"])
    written: dict[str, Any] = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "base_model": plan.get("base_model"),
        "base_revision": base_revision,
        "parent": plan.get("parent"),
        "parent_sha256": parent_sha256,
        "data": dict(data),
        "settings": settings,
        "seed": settings.get("seed"),
        "device": device,
        "platform": platform.platform(),
        "versions": versions(),
    }
    return json.loads(json.dumps(written, default=str))  # type: ignore[no-any-return]


def versions() -> dict[str, str | None]:
    """Returns the versions of Python, of this package and of those that compute; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "skill_plugin": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def same_run(manifest: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Returns the deciding facts in which two manifests differ, a line each; if empty, one run can resume the other.

    Time budgets and how often a snapshot is taken may differ: they do not change a step's result. So may the device,
    the folders' names, and when the manifest was written.
    """
    facts, others = dict(_facts(manifest)), dict(_facts(other))
    return [
        f"{name} is {facts.get(name)!r} and was {others.get(name)!r}"
        for name in dict.fromkeys([*facts, *others])
        if facts.get(name) != others.get(name)
    ]


def _facts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in DECIDING:
        value = manifest.get(name)
        if not isinstance(value, Mapping):
            yield name, value
            continue
        yield from ((f"{name}.{key}", one) for key, one in value.items() if name != "settings" or key not in FREE)


def write_json(path: Path, value: Any) -> None:
    """Writes a file that is whole or not there, whenever the process is killed. No NaN."""
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Reads the value in a JSON file.

    Raises:
        ConfigurationError: the file does not exist, cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigurationError(f"there is no {path.name} in {str(path.parent)!r}; give the folder of a run") from exc
    except OSError as exc:
        raise ConfigurationError(f"{str(path)!r} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"{str(path)!r} is not JSON ({exc}); it is damaged: start the run again") from exc
