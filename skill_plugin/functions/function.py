"""A function of a skill, and the files that it needs to run."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Self

from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills.trees import check_path

SCRIPTS = "scripts"
TEST_PREFIX = "test_"


@dataclass(frozen=True, slots=True)
class SkillFunction:
    """A function that a skill offers, as it was read from its file.

    Args:
        name: Its name.
        path: The file that defines it, in the skill's folder.
        docstring: What it says of itself.
        parameters: JSON Schema of its arguments, an object.
        returns: JSON Schema of its result.
        tools: Names of the agent's tools that it may call, by itself or through what it uses; sorted.
        source_sha256: SHA-256 of its file.
    """

    name: str
    path: str
    docstring: str
    parameters: Mapping[str, Any]
    returns: Mapping[str, Any]
    tools: tuple[str, ...]
    source_sha256: str


@dataclass(frozen=True)
class FunctionPackage:
    """What a runner needs of a skill.

    Args:
        files: Its files, by their path in the skill's folder. Tests are left out where a function runs.
        functions: What `read_functions` made of them.
        packages: Names of installed packages that the functions may import.

    Raises:
        InvalidSkillError: a path leads out of the folder.
    """

    files: Mapping[str, bytes]
    functions: tuple[SkillFunction, ...]
    packages: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for path in self.files:
            check_path(path)

    @classmethod
    def read(cls, files: Mapping[str, bytes], allowed_tools: Sequence[str], *, packages: Sequence[str] = ()) -> Self:
        """Reads the functions of a skill's files; see `read_functions`."""
        from skill_plugin.functions.reading import read_functions  # noqa: PLC0415 - it makes what this file defines

        return cls(files, read_functions(files, allowed_tools, packages=packages), tuple(packages))

    def function(self, name: str) -> SkillFunction:
        """Returns the function of a name.

        Raises:
            InvalidSkillError: it has none of that name; says which it has.
        """
        found = next((one for one in self.functions if one.name == name), None)
        if found is None:
            known = ", ".join(one.name for one in self.functions) or "none"
            raise InvalidSkillError(f"the skill has no function {name!r:.80}; it has: {known}")
        return found

    def files_to_run(self) -> dict[str, bytes]:
        """Returns the files without the tests, so that a function cannot read what it is expected to return."""
        return {path: data for path, data in self.files.items() if not is_test(path)}


def is_script(path: str) -> bool:
    """Returns whether a path is that of a file of functions, or of helpers of theirs: `scripts/NAME.py`, but for tests."""
    return _is_python(path) and not is_test(path)


def is_test(path: str) -> bool:
    """Returns whether a path is that of a file of tests: `scripts/test_NAME.py`."""
    return _is_python(path) and PurePosixPath(path).name.startswith(TEST_PREFIX)


def module_of(path: str) -> str:
    """Returns the name that a file is imported by."""
    return PurePosixPath(path).stem


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is_python(path: str) -> bool:
    parts = path.split("/")
    return len(parts) == 2 and parts[0] == SCRIPTS and parts[1].endswith(".py")
