"""The check of a skill's functions: which of its files can be read, and what its own tests say of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.functions.allowed_tools import allowed_tools
from skill_plugin.functions.function import is_script, is_test, sha256_of
from skill_plugin.functions.reading import survey_functions
from skill_plugin.functions.report import TestReport
from skill_plugin.functions.runners import Runner, SandboxRunner, runner
from skill_plugin.functions.skill_tests import run_tests
from skill_plugin.records import canonical_json
from skill_plugin.settings import Settings
from skill_plugin.skills.skill_md import parse

REMEMBERED = 256
"""Checks that are kept: candidates of one skill mostly have the files of the skill."""


@dataclass(frozen=True)
class SkillCheck:
    """Result of the check of a skill's functions.

    Args:
        functions: The functions that can be read.
        refused: For each other file of `scripts/` the first line that breaks the rules; an ordinary script is one of those.
        report: What the tests said; None where there is no function, or where they could not be run.
        not_run: Why they could not be run on this machine.
    """

    functions: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    report: TestReport | None = None
    not_run: str = ""

    @property
    def tested(self) -> tuple[str, ...]:
        """The functions that may be offered, once an operator allows the skill: a test of each passes, and none fails."""
        if self.report is None or self.report.is_red:
            return ()
        return tuple(one for one in self.functions if one not in self.report.untested)

    def worse_than(self, before: "SkillCheck") -> str:
        """Returns the first thing that is wrong and was not wrong before, in one line; empty if there is nothing."""
        unread = (why for path, why in self.refused.items() if path not in before.refused)
        known = before.report.failures if before.report else ()
        red = (f"its tests fail: {one}" for one in (self.report.failures if self.report else ()) if one not in known)
        return next(unread, "") or next(red, "")

    def as_dict(self) -> dict[str, Any]:
        """Returns the check as JSON, which has the keys of `TestReport.as_dict` and some more; empty if there is nothing to say."""
        if not self.functions and not self.refused:
            return {}
        said = self.report.as_dict() if self.report else {}
        return said | {
            "functions": list(self.functions),
            "refused": dict(self.refused),
            **({"not_run": self.not_run} if self.not_run else {}),
        }


class SkillTests:
    """Checks skills, each folder once.

    Args:
        runs: What runs the functions and the tests; by default what the setting `function_runner` names, but nothing that contains
            nothing: then the sandbox does.
    """

    def __init__(self, runs: Runner | None = None) -> None:
        self._runs = runs
        self._known: dict[str, SkillCheck] = {}

    def check(self, text: str, files: Mapping[str, bytes], packages: Sequence[str] = ()) -> SkillCheck:
        """Reads the functions of a skill and runs its tests. Wrong files are a result.

        Args:
            text: Its SKILL.md.
            files: The files beside it, by path.
            packages: Installed packages that functions may import.

        Raises:
            InvalidSkillError: the text is not a SKILL.md, or its `allowed-tools` are not a list of names.
        """
        if not any(is_script(path) for path in files):
            return SkillCheck()
        allowed = allowed_tools(parse(text).extra)
        key = sha256_of(
            canonical_json(
                [allowed, sorted(packages), *sorted((path, sha256_of(files[path])) for path in files)]
            ).encode()
        )
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = self._checked(files, allowed, packages)
        return self._known[key]

    def _checked(self, files: Mapping[str, bytes], allowed: tuple[str, ...], packages: Sequence[str]) -> SkillCheck:
        survey = survey_functions(files, allowed, packages=packages)
        functions = tuple(one.name for one in survey.functions)
        if not functions:  # a folder of ordinary scripts, whose tests are not in our form either
            return SkillCheck(refused=survey.refused)
        left = {path: data for path, data in files.items() if path not in survey.refused}
        try:
            if any(is_test(path) for path in left) and self._runs is None:
                self._runs = runner(Settings.load().function_runner)
                if not getattr(self._runs, "is_contained", True):  # nobody has looked at the skill yet
                    self._runs = SandboxRunner()
            report = run_tests(left, allowed, packages=packages, runs=self._runs)
        except InvalidSkillError as exc:
            report = TestReport(0, 0, failures=(str(exc),), untested=functions)
        except ConfigurationError as exc:
            return SkillCheck(functions, survey.refused, not_run=str(exc))
        return SkillCheck(functions, survey.refused, report)
