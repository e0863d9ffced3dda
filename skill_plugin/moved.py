"""Modules that have moved: importing one by its old name gives the module by its new one, and a warning that says so."""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
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
    "skill_plugin.store.database": "skill_plugin.store.sql.database",
    "skill_plugin.store.dump": "skill_plugin.store.dumps.dump",
    "skill_plugin.task_files": "skill_plugin.tasks.files",
    "skill_plugin.training.off_policy": "skill_plugin.gates.off_policy",
    "skill_plugin.verifiers.sandbox": "skill_plugin.sandbox.runner",
}


class MovedFinder(MetaPathFinder):
    """An import hook that is asked last: an old name gives the module where it is now, and a warning."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, _Alias()) if fullname in MOVED else None


class _Alias(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        warnings.warn(f"{spec.name} is now {MOVED[spec.name]}; import it from there", DeprecationWarning, stacklevel=2)
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(MOVED[module.__name__])
