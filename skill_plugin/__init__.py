"""A library of skills that lets a LangGraph agent get better at its work without touching its model.

This package is light: importing it loads none of torch, chromadb or langgraph. The store is
`skill_plugin.store`, the graph `skill_plugin.graphs`, the command line `skill_plugin.integrations.cli`.
"""

import sys as _sys
from pathlib import Path as _Path

__version__ = "0.1.0"

# In a source checkout store/, graphs/ and integrations/ are siblings of this folder; in a wheel they are inside it.
# Looking beside first makes modules load from their real folders, so that breakpoints and coverage find them.
_root = _Path(__file__).resolve().parent.parent
if (_root / "store" / "tables.py").is_file() and (_root / "pyproject.toml").is_file():
    __path__.insert(0, str(_root))
    # Other folders beside this one are not part of the package; a second copy of them would have classes of its own.
    _beside = [_one.name for _one in _root.iterdir() if _one.name not in {"store", "graphs", "integrations"}]
    _sys.modules.update({f"{__name__}.{_name}": None for _name in _beside})  # type: ignore[misc] # as `import` wants it

from skill_plugin.errors import SkillPluginError  # noqa: E402 - after the path is set
from skill_plugin.hits import SkillHit  # noqa: E402
from skill_plugin.moved import MovedFinder as _MovedFinder  # noqa: E402
from skill_plugin.records import Event, Generation, Revision, Rollout, Skill, SkillVersion, Task, Verdict  # noqa: E402

_sys.meta_path.append(_MovedFinder())

__all__ = [
    "Event",
    "Generation",
    "Revision",
    "Rollout",
    "Skill",
    "SkillHit",
    "SkillPluginError",
    "SkillVersion",
    "Task",
    "Verdict",
    "__version__",
]
