"""Regions: names of our nodes and keys, so that one graph can have skills around several of its agents."""

import re
from collections.abc import Generator, Mapping
from typing import Any, get_type_hints

from langchain_core.runnables import RunnableConfig
from typing_extensions import TypedDict

from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs.nodes.node import SkillNode, Step
from skill_plugin.graphs.state import SkillKeys

_KEYS = tuple(get_type_hints(SkillKeys))


class Region:
    """A part of a graph with skills of its own: `skillp_retrieve` becomes `skillp_retrieve_writer` in the region `writer`.

    The nodes themselves know only the plain keys; what they read and write is renamed around them, so that regions which run side by
    side never write one key.

    Args:
        name: Letters, digits and underscores; empty for the plain names.

    Raises:
        ConfigurationError: the name has something else in it.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or re.fullmatch(r"\w*", name, re.ASCII) is None:
            raise ConfigurationError(f"name is {name!r:.80}; give letters, digits and underscores, such as 'writer'")
        self.name = name
        self.suffix = f"_{name}" if name else ""
        self._names = {key: key + self.suffix for key in _KEYS}

    def of(self, name: str) -> str:
        """Returns the region's name of one of our nodes or keys."""
        return name + self.suffix

    def inside(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a state with the region's values under the plain keys."""
        found = {key: value for key, value in state.items() if key not in _KEYS}
        return {**found, **{plain: state[name] for plain, name in self._names.items() if name in state}}

    def outside(self, update: Mapping[str, Any]) -> dict[str, Any]:
        """Returns an update with the plain keys under the region's names."""
        return {self._names.get(key, key): value for key, value in update.items()}

    def reads(self, schema: type) -> type:
        """Returns the type of what a node reads, with the region's keys."""
        if not self.name:
            return schema
        hints = get_type_hints(schema, include_extras=True)
        return TypedDict("Reads", self.outside(hints), total=False)  # type: ignore[operator,no-any-return] # made at run time

    def node(self, node: SkillNode) -> SkillNode:
        """Returns one of our nodes, for this region; where the host's input was no task, it does nothing."""

        def body(state: Mapping[str, Any], config: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
            plain = self.inside(state)
            if "skillp_run" in plain and plain["skillp_run"] is None:
                return {}
            return self.outside((yield from node.body(plain, config)))

        return SkillNode(node.name, body, self.reads(node.reads))

    def entrance(self, node: SkillNode) -> SkillNode:
        """Returns the node that begins a run, for this region."""

        def body(state: Mapping[str, Any], config: RunnableConfig) -> Generator[Step, Any, dict[str, Any]]:
            return self.outside((yield from node.body(self.inside(state), config)))

        return SkillNode(node.name, body, self.reads(node.reads))
