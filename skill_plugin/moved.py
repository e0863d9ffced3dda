"""Modules that have moved: importing one by its old name raises an error that gives the new one."""

from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

MOVED = {
    "skill_plugin.chains": "skill_plugin.credit",
    "skill_plugin.chat_models": "skill_plugin.models.chat_models",
    "skill_plugin.content": "skill_plugin.skills.scan",
    "skill_plugin.curriculum": "skill_plugin.tasks.curriculum",
    "skill_plugin.gate": "skill_plugin.gates.versions",
    "skill_plugin.integrations.http": "skill_plugin.integrations.mcp.http",
    "skill_plugin.judges": "skill_plugin.gates.judges",
    "skill_plugin.minibatch": "skill_plugin.generators.minibatch",
    "skill_plugin.revision_prompt": "skill_plugin.generators.prompt",
    "skill_plugin.selection": "skill_plugin.graphs.evolution.selection",
    "skill_plugin.skill_md": "skill_plugin.skills.skill_md",
    "skill_plugin.task_files": "skill_plugin.tasks.files",
    "skill_plugin.training.off_policy": "skill_plugin.gates.off_policy",
}


class MovedFinder(MetaPathFinder):
    """An import hook that is asked last, for modules that were not found."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:  # noqa: ARG002
        if fullname in MOVED:
            raise ModuleNotFoundError(f"{fullname} is now {MOVED[fullname]}; import it from there", name=fullname)
