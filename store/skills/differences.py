"""What changed between two versions: of the text, and of each file beside it."""

import difflib
from collections.abc import Iterator

from skill_plugin.skills.trees import SkillTree, TreeFile
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import versions
from skill_plugin.store.skills.tree_rows import read_tree


def diff_versions(store: Part, old: str, new: str) -> list[str]:
    """Returns the lines of a unified diff from one version to another: of the text first, then of each file that differs.

    What cannot be seen is escaped in files, line ends too; of a binary file it is said that it differs.

    Args:
        store: The library.
        old: `name@1` or `id@1`.
        new: `name@2` or `id@2`.

    Raises:
        SkillNotFoundError: a skill or a version does not exist.
    """
    partition = store._partition  # noqa: SLF001 - a store has as many names as one can keep in mind
    with partition.read() as session:
        before, after = (versions.resolve(session, partition.namespace, ref) for ref in (old, new))
        names = [f"{skill.name}@{version.number}" for skill, version in (before, after)]
        trees = [read_tree(session, version) for _, version in (before, after)]
    texts = [version.text.splitlines() for _, version in (before, after)]
    return [*difflib.unified_diff(texts[0], texts[1], names[0], names[1], lineterm=""), *_of_files(names, *trees)]


def _of_files(names: list[str], old: SkillTree, new: SkillTree) -> Iterator[str]:
    before, after = ({file.path: file for file in tree} for tree in (old, new))
    for path in sorted(before.keys() | after.keys()):
        one, two = before.get(path), after.get(path)
        if one is not None and two is not None and one.data == two.data:
            if one.is_executable != two.is_executable:
                yield f"file {path}: {'may' if two.is_executable else 'may not'} be executed"
            continue
        if any(file is not None and file.text is None for file in (one, two)):
            yield f"binary file {path}: {_size(one)} -> {_size(two)}"
            continue
        places = [f"{name}/{path}" if file else "/dev/null" for name, file in zip(names, (one, two), strict=True)]
        made = list(difflib.unified_diff(_lines(one), _lines(two), places[0], places[1], lineterm=""))
        yield from made or [f"--- {places[0]}", f"+++ {places[1]}"]  # an empty file has no lines


def _size(file: TreeFile | None) -> str:
    return "none" if file is None else f"{len(file.data)} bytes"


def _lines(file: TreeFile | None) -> list[str]:
    lines = (file.text or "").split("\n") if file is not None and file.data else []
    shown = [
        "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in line) for line in lines
    ]
    if shown and not shown[-1]:
        return shown[:-1]
    return [*shown, "\\ no newline at the end"] if shown else []
