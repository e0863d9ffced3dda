"""Checks of functions where versions come in: what a generator wrote is tested before it is staged, and a version when it is imported."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from skill_plugin.errors import InvalidSkillError
from skill_plugin.functions import Runner, SkillCheck, SkillFunction, SkillTests, allowed_tools, survey_functions
from skill_plugin.functions.allowed_tools import KEY
from skill_plugin.functions.fitting import problem
from skill_plugin.functions.function import is_script, is_test
from skill_plugin.generators.shared_calls import shared_calls
from skill_plugin.records import Generation, Revision, canonical_json
from skill_plugin.skills.skill_md import parse, render
from skill_plugin.skills.trees import changed_tree
from skill_plugin.store import SkillStore, files_of, keep_checks
from skill_plugin.store.runs.calls import errors_in, seen_arguments
from skill_plugin.store.skills.permissions import function_packages
from skill_plugin.store.skills.trees import tree_of

NO_FUNCTION = "a function was asked for and none was written; add its file and its tests to the edits"


@lru_cache(maxsize=1)
def _own_tests() -> SkillTests:
    return SkillTests()


def check_version(store: SkillStore, ref: str, runs: Runner | None = None) -> SkillCheck:
    """Reads the functions of a version, runs its tests, and keeps what they say with it (`store.checks_of`).

    Args:
        store: The library.
        ref: `name`, `id`, `name@2` or `id@2`; without a version the live one, else the newest.
        runs: What runs them; by default what the setting `function_runner` names.

    Raises:
        SkillNotFoundError: there is no such version.
    """
    skill = store.get(ref)
    tests = _own_tests() if runs is None else SkillTests(runs)
    check = tests.check(skill.text, files_of(store, skill.ref), function_packages(store))
    if said := check.as_dict():
        keep_checks(store, skill.ref, said)
    return check


def checked_revisions(
    store: SkillStore,
    proposed: Sequence[Revision],
    *,
    parent: str | None,
    chain: Sequence[str] = (),
    wants_function: bool = False,
    tests: SkillTests | None = None,
) -> list[Revision]:
    """Runs the tests of what a generator wrote; a red one becomes an error, which names the failing line.

    What was wrong with the parent's own files and still is does not count against a revision. A function that agents have called
    has to take the arguments of those calls still.

    Args:
        store: The library.
        proposed: The candidates, in order.
        parent: `skill_id@version` that was revised; None for a first skill.
        chain: Tools that the agent called in runs that passed: a function that was written may call them, and the front matter
            comes to allow those that it does call, with those that the parent's allowed.
        wants_function: Whether a revision of the parent without a function is an error, as in SAGE (arXiv:2512.17102), which gives
            it -1. A new skill, under a name of its own, is not one.
        tests: Runs the tests.
    """
    if not any(one.text is not None for one in proposed):
        return list(proposed)
    tests, packages = tests or _own_tests(), function_packages(store)
    tree = tree_of(store, parent) if parent else ()
    revised = store.get(parent) if parent else None
    may_call = [*chain, *(allowed_tools(parse(revised.text).extra) if revised else ())]
    before = SkillCheck()
    if revised and any(is_script(file.path) for file in tree):
        before = tests.check(revised.text, {file.path: file.data for file in tree}, packages)

    seen = seen_arguments(store, parent) if parent and before.functions else []

    def checked(revision: Revision) -> Revision:
        if revision.text is None:
            return revision
        try:
            is_same = revised is not None and parse(revision.text).name == revised.name
            files = {file.path: file.data for file in changed_tree(tree if is_same else (), revision.files)}
            text = _allowing(revision.text, files, may_call, packages)
            check = tests.check(text, files, packages)
        except InvalidSkillError:
            return revision  # the store refuses it, and says the same
        is_due = wants_function and is_same and not check.functions
        why = check.worse_than(before if is_same else SkillCheck()) or (NO_FUNCTION if is_due else "")
        if not why and is_same and check.functions:
            survey = survey_functions(files, allowed_tools(parse(text).extra), packages=packages)
            why = _no_longer_taken(survey.functions, seen)
        if why:
            return replace(revision, text=None, files={}, error=why)
        return replace(revision, text=text, checks=check.as_dict())

    return [checked(one) for one in proposed]


def with_functions(store: SkillStore, past: Sequence[Generation], run_id: str) -> list[Generation]:
    """Returns a run's history with what its generator needs to know of functions.

    The last generation, which is revised, gets the scripts of its skill, or the tool calls that a function could make. Feedback of
    failing rollouts is told which functions failed in the run.
    """
    told = with_errors(store, past, run_id)
    if not told:
        return told
    passing = [one for generation in past for one in generation.rollouts]
    told[-1] = with_scripts(store, told[-1], shared_calls(passing))
    return told


def with_errors(store: SkillStore, past: Sequence[Generation], run_id: str) -> list[Generation]:
    """Returns generations in which the feedback of failing rollouts says which functions of their skill failed in the run."""
    errors = errors_in(store, run_id)
    return [_told(one, errors.get(one.skill or "", ())) for one in past]


def with_scripts(store: SkillStore, generation: Generation, chain: tuple[str, ...]) -> Generation:
    """Returns a generation with its skill's files of functions, or where it has none with the calls that one could make.

    Without a skill nothing is asked for: a first text has yet to be written, and files are written by edits to one.
    """
    files = scripts_of(store, generation.skill)
    return replace(generation, files=files, chain=() if files or generation.text is None else chain)


def scripts_of(store: SkillStore, ref: str | None) -> dict[str, str]:
    """Returns the files of functions and of tests of a version, by path; none where it has no file of functions."""
    tree = tree_of(store, ref) if ref else ()
    scripts = {one.path: one.text or "" for one in tree if is_script(one.path) or is_test(one.path)}
    return scripts if any(map(is_script, scripts)) else {}


def _told(generation: Generation, errors: Sequence[str]) -> Generation:
    if not errors:
        return generation
    said = "\n".join(errors)
    rollouts = tuple(
        replace(one, feedback="\n".join(filter(None, (one.feedback, said)))) if one.passed is False else one
        for one in generation.rollouts
    )
    return replace(generation, rollouts=rollouts)


def _no_longer_taken(functions: Sequence[SkillFunction], seen: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Returns the first call of an agent that a function would now refuse, in one line; a function that is gone refuses none."""
    parameters = {one.name: one.parameters for one in functions}
    for function, arguments in seen:
        if why := problem(parameters.get(function, {}), arguments):
            given = canonical_json(arguments)
            return f"{function} no longer takes what agents call it with, {given:.300}: {why}; keep its parameters, and give new ones a default"
    return ""


def _allowing(text: str, files: Mapping[str, bytes], may_call: Sequence[str], packages: Sequence[str]) -> str:
    """Returns a SKILL.md that allows those of some tools that its functions call."""
    document = parse(text)
    given, allowed = document.extra.get(KEY), allowed_tools(document.extra)
    more = [name for name in dict.fromkeys(may_call) if name not in allowed]
    if not more or not any(map(is_script, files)):
        return text
    called = {
        name for one in survey_functions(files, [*allowed, *more], packages=packages).functions for name in one.tools
    }
    added = [name for name in more if name in called]
    if not added:
        return text
    value = [*given, *added] if isinstance(given, list) else " ".join([*([given] if given else []), *added])
    return render(replace(document, extra={**document.extra, KEY: value}))
