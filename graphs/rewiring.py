"""Putting nodes in front of and behind a part of a builder, by its edges alone.

`nodes`, `edges`, `waiting_edges` and `branches` of a `StateGraph` are public attributes.
"""

from collections.abc import Collection, Iterator
from typing import Any

from langgraph.graph import END, StateGraph

from skill_plugin.errors import ConfigurationError


class Segment:
    """The part of a graph from node `first` to node `last`: both, and what lies on a way from the one to the other.

    Raises:
        ConfigurationError: there is no such part, or its ways in and out cannot be redirected.
    """

    def __init__(self, builder: StateGraph[Any, Any, Any, Any], first: str, last: str) -> None:
        self._builder = builder
        self.first = first
        for name in (first, last):
            if name not in builder.nodes:
                raise ConfigurationError(f"the graph has no node {name!r}; it has {', '.join(sorted(builder.nodes))}")
        after = self._reachable(first)
        self.nodes = {first} | {name for name in after if last in self._reachable(name) or name == last}
        if last not in self.nodes:
            raise ConfigurationError(f"no edge leads from {first!r} to {last!r}; name nodes of one agent")
        self._check_routes(after | {first})
        if not self._entries():
            raise ConfigurationError(f"nothing leads to {first!r}; add the graph's edges before its skills")
        if not (self._exits()):
            raise ConfigurationError(f"nothing leads out of {last!r}; add the graph's edges before its skills")

    def enter_through(self, node: str) -> None:
        """What led to the section from elsewhere leads to `node`, and `node` to the section."""
        builder = self._builder
        for start, end in self._entries():
            builder.edges.discard((start, end))
            builder.edges.add((start, node))
        for starts, end in list(builder.waiting_edges):
            if end == self.first:
                builder.waiting_edges.discard((starts, end))
                builder.waiting_edges.add((starts, node))
        for name in builder.branches.keys() - self.nodes:
            self._redirect_branches(name, {self.first: node})
        builder.add_edge(node, self.first)

    def leave_through(self, node: str) -> Iterator[tuple[str, str]]:
        """What led out leads to `node`; yields `node`, once for each place it led to, and that place.

        The second and later ones have the place in their name.
        """
        builder = self._builder
        targets = sorted(self._exits(), key=lambda target: (target != END, target))
        names = {target: node if target == targets[0] else f"{node}_{target}" for target in targets}
        for start, end in list(builder.edges):
            if start in self.nodes and end in names:
                builder.edges.discard((start, end))
                builder.edges.add((start, names[end]))
        for name in self.nodes:
            self._redirect_branches(name, names)
        yield from ((name, target) for target, name in names.items())

    def _entries(self) -> list[tuple[str, str]]:
        """The edges into the section; what enters by a branch or a join is listed as an edge of its start."""
        found = [edge for edge in self._builder.edges if edge[1] == self.first and edge[0] not in self.nodes]
        joins = [(starts[0], end) for starts, end in self._builder.waiting_edges if end == self.first]
        branches = [
            (name, self.first)
            for name in self._builder.branches.keys() - self.nodes
            for branch in self._builder.branches[name].values()
            if branch.ends is None or self.first in branch.ends.values()
        ]
        return found + joins + branches

    def _exits(self) -> set[str]:
        return {target for name in self.nodes for target in self._leads(name)} - self.nodes

    def _redirect_branches(self, name: str, other: dict[str, str]) -> None:
        branches = self._builder.branches.get(name, {})
        for key, branch in branches.items():
            ends = branch.ends or {node: node for node in [*self._builder.nodes, END]}
            branches[key] = branch._replace(ends={label: other.get(end, end) for label, end in ends.items()})

    def _leads(self, name: str) -> set[str]:
        """Where a node leads, as far as the builder says."""
        builder = self._builder
        found = {end for start, end in builder.edges if start == name}
        found |= {end for starts, end in builder.waiting_edges if name in starts}
        for branch in builder.branches.get(name, {}).values():
            found |= set((branch.ends or {}).values())
        return found | self._commands(name)

    def _commands(self, name: str) -> set[str]:
        """Where a node goes by `Command`, as far as its annotation says."""
        ends = self._builder.nodes[name].ends if name in self._builder.nodes else None
        return set(ends or ())

    def _reachable(self, name: str) -> set[str]:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            for target in self._leads(waiting.pop()) - seen:
                seen.add(target)
                waiting.append(target)
        return seen

    def _check_routes(self, reachable: Collection[str]) -> None:
        builder = self._builder
        for name in sorted(self.nodes & set(reachable)):
            if any(branch.ends is None for branch in builder.branches.get(name, {}).values()):
                raise ConfigurationError(
                    f"the conditional edges of {name!r} do not say where they lead; give add_conditional_edges a path_map"
                )
            if outside := self._commands(name) - self.nodes:
                raise ConfigurationError(
                    f"{name!r} goes to {', '.join(sorted(outside))} by Command, which cannot be redirected; lead out of the "
                    "agent by an edge, or put retrieve_node and record_node into the graph yourself"
                )
            ways = {end for start, end in builder.edges if start == name} - self.nodes
            if len(ways) > 1 or any(name in starts and end not in self.nodes for starts, end in builder.waiting_edges):
                raise ConfigurationError(
                    f"{name!r} leads to several nodes at once or to a join; put one node between, and name it as the last"
                )
        for name in sorted(builder.nodes.keys() - self.nodes):
            if self.first in self._commands(name):
                raise ConfigurationError(
                    f"{name!r} goes to {self.first!r} by Command, which cannot be redirected; lead there by an edge, or put "
                    "retrieve_node into the graph yourself"
                )
