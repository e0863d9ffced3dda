"""The files of a version, for who asks the library."""

from skill_plugin.skills.trees import SkillTree
from skill_plugin.store.partition import Part
from skill_plugin.store.skills import versions
from skill_plugin.store.skills.tree_rows import read_tree


def files_of(store: Part, ref: str) -> dict[str, bytes]:
    """Returns the files of a version beside its SKILL.md, by path; none for a skill that is a text alone.

    Args:
        store: The library.
        ref: `name`, `id`, `name@2` or `id@2`; without a version the live one, else the newest.

    Raises:
        SkillNotFoundError: this namespace has no such skill or version.
    """
    partition = store._partition  # noqa: SLF001 - a store has as many names as one can keep in mind
    with partition.read() as session:
        _, version = versions.resolve(session, partition.namespace, ref)
        return {file.path: file.data for file in read_tree(session, version)}


def tree_of(store: Part, ref: str) -> SkillTree:
    """Returns the files of a version with what is known of each; see `files_of`."""
    partition = store._partition  # noqa: SLF001
    with partition.read() as session:
        return read_tree(session, versions.resolve(session, partition.namespace, ref)[1])
