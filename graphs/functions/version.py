"""The functions of one version of a skill, and what its library says against offering them to anybody."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skill_plugin.errors import InvalidSkillError
from skill_plugin.functions import FunctionPackage, Runner, SkillFunction, allowed_tools, survey_functions
from skill_plugin.functions.function import is_script
from skill_plugin.skills import skill_md
from skill_plugin.skills.skill_files import SKILL_FILE
from skill_plugin.store import SkillStore, checks_of, files_of, why_not_run
from skill_plugin.store.skills.permissions import function_packages


@dataclass(frozen=True)
class VersionFunctions:
    """The functions of a version.

    Args:
        name: The skill's name.
        ref: `skill_id@version`.
        package: Its files and functions, without the files that break the rules.
        allowed_tools: The tools that its front matter allows.
        refused: Why such files have no functions, by path.
        stopped: Why none of them may run, whatever their tests say; empty if they may.
        only_reading: Those that may run all the same, because the operator's policy lets functions that only read.
        checks: What its tests said, as `store.checks_of` has it.
    """

    name: str
    ref: str
    package: FunctionPackage
    allowed_tools: tuple[str, ...]
    refused: Mapping[str, str]
    stopped: str
    checks: Mapping[str, Any]
    only_reading: frozenset[str] = frozenset()

    def why_not(self, function: SkillFunction, runs: Runner | None = None) -> str:
        """Returns why a function is offered to nobody, in one line; empty if it may be.

        Args:
            function: The function.
            runs: What would run it; by default one that contains it, as what only reads needs, because nobody has looked at it.
        """
        stopped = self.stopped
        if stopped and function.name in self.only_reading:
            stopped = (
                ""
                if runs is None or getattr(runs, "is_contained", False)
                else f"{stopped}; its runner contains nothing"
            )
        return stopped or self.untested(function.name)

    def untested(self, name: str = "") -> str:
        """Returns what is missing in the tests of a function, or of all of them; empty if they are as they should be."""
        again = f"skill-plugin skills allow {self.name}@{self.ref.rpartition('@')[2]} --reason WHY"
        if not self.checks:
            return f"its tests were not run; {again} runs them"
        if not_run := self.checks.get("not_run"):
            return f"its tests were not run: {not_run}"
        if failures := self.checks.get("failures"):
            return f"a test fails: {failures[0]}"
        if not self.checks.get("passed"):
            vacuous = next(iter(self.checks.get("vacuous") or ()), "")
            nothing = f"{vacuous} would pass on any function, so it tests nothing; write one that would not"
            return f"{nothing if vacuous else 'it has no tests; write scripts/test_NAME.py'}, and revise the skill"
        unread = name and name not in self.checks.get("functions", [name])
        if unread or name in self.checks.get("untested", ()):
            late = f"its tests were run when {name} could not be read; {again} runs them"
            return late if unread else f"no test tests {name}; write one in scripts/test_NAME.py, and revise the skill"
        return ""


def functions_of(store: SkillStore, ref: str) -> VersionFunctions:
    """Reads the functions of a version; a file that breaks the rules has none, and costs nothing else.

    Args:
        store: The library.
        ref: `name`, `id`, `name@2` or `id@2`; without a version the live one, else the newest.

    Raises:
        SkillNotFoundError: no such skill or version.
    """
    skill = store.get(ref)
    nothing = FunctionPackage({}, ())
    if not any(is_script(path) for path in skill.files):
        return VersionFunctions(skill.name, skill.ref, nothing, (), {}, "it has no scripts", {})
    files = files_of(store, skill.ref)
    try:
        allowed = allowed_tools(skill_md.parse(skill.text).extra)
    except InvalidSkillError as exc:
        return VersionFunctions(skill.name, skill.ref, nothing, (), {SKILL_FILE: str(exc)}, str(exc), {})
    packages = function_packages(store)
    survey = survey_functions(files, allowed, packages=packages)
    stopped = why_not_run(store, skill.ref)
    only_reading = (one.name for one in survey.functions if stopped and not why_not_run(store, skill.ref, one.tools))
    kept = {path: data for path, data in files.items() if path not in survey.refused}
    return VersionFunctions(
        name=skill.name,
        ref=skill.ref,
        package=FunctionPackage(kept, survey.functions, packages),
        allowed_tools=allowed,
        refused=survey.refused,
        stopped=stopped,
        checks=checks_of(store, skill.ref),
        only_reading=frozenset(only_reading),
    )
