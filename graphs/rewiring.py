"""Putting nodes in front of and behind a part of a builder, by its edges alone.

`nodes`, `edges`, `waiting_edges` and `branches` of a `StateGraph` are public attributes.
"""

import logging
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from skill_plugin.errors import ConfigurationError
from skill_plugin.graphs.steering import leave, redirect, same, wrap

logger = logging.getLogger(__name__)


class Segment:
    """The part of a graph from node `first` to node `last`: both, and what lies on a way from the one to the other.

    Raises:
        ConfigurationError: the graph has no such part, or its ways in and out cannot be redirected.
    """

    def __init__(self, builder: StateGraph[Any, Any, Any, Any], first: str, last: str) -> None:
        self._builder = builder
        self.first, self.last = first, last
        for name in (first, last):
            if name not in builder.nodes:
                raise ConfigurationError(f"the graph has no node {name!r}; it has {', '.join(sorted(builder.nodes))}")
        after = self._reachable(first)
        self.nodes = {first} | {name for name in after if last in self._reachable(name) or name == last}
        if last not in self.nodes:
            raise ConfigurationError(f"no edge leads from {first!r} to {last!r}; name nodes of one agent")
        self._check_routes(after | {first})
        if not self._entries():
            raise ConfigurationError(self._why_closed())
        if not self._exits() and not self.leaving:
            raise ConfigurationError(f"nothing leads out of {last!r}; add the graph's edges before its skills")

    @property
    def leaving(self) -> list[str]:
        """The nodes that may leave by a Command, or where the graph ends without an edge."""
        return sorted(name for name in self.nodes if self.is_leaf(name) or self._commands(name) - self.nodes)

    def is_leaf(self, name: str) -> bool:
        """Returns whether no edge leads on from a node, so that a graph ends there unless a Command says otherwise."""
        builder = self._builder
        edges = any(start == name for start, _ in builder.edges) or any(
            name in starts for starts, _ in builder.waiting_edges
        )
        return not edges and not builder.branches.get(name)

    def enter_through(self, node: str) -> None:
        """Leads what led to the section from elsewhere to `node`, and `node` to the section."""
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
        for name in sorted(builder.nodes.keys() - self.nodes - {node}):
            if self.first in self._commands(name) or (self.is_leaf(name) and not self._commands(name)):
                ends = _renamed(builder.nodes[name].ends, {self.first: node})
                wrap(builder, name, same, partial(redirect, other={self.first: node}), ends=ends)
        builder.add_edge(node, self.first)

    def leave_by_command_through(self, node: str, key: str) -> bool:
        """Who leaves by a Command, or by having no edge, goes to `node`; returns whether there is such a node.

        Where it was going is kept in the state under `key`.
        """
        inside = frozenset(self.nodes)
        for name in self.leaving:
            ends = dict.fromkeys([*(one for one in self._commands(name) if one in inside), node], "")
            behind = partial(leave, inside=inside, through=node, key=key, is_leaf=self.is_leaf(name))
            wrap(self._builder, name, same, behind, ends=tuple(ends))
        return bool(self.leaving)

    def leave_through(self, node: str) -> Iterator[tuple[str, str]]:
        """Leads what led out to `node`; yields `node`, once for each place it led to, and that place.

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
            self._tell_of_sends(name)
        yield from ((name, target) for target, name in names.items())

    def _entries(self) -> list[tuple[str, str]]:
        """Returns the edges into the section; what enters by a branch or a join is listed as an edge of its start."""
        found = [edge for edge in self._builder.edges if edge[1] == self.first and edge[0] not in self.nodes]
        joins = [(starts[0], end) for starts, end in self._builder.waiting_edges if end == self.first]
        branches = [
            (name, self.first)
            for name in self._builder.branches.keys() - self.nodes
            for branch in self._builder.branches[name].values()
            if branch.ends is None or self.first in branch.ends.values()
        ]
        commands = [
            (name, self.first) for name in self._builder.nodes.keys() - self.nodes if self.first in self._commands(name)
        ]
        return found + joins + branches + commands

    def _why_closed(self) -> str:
        """Says why nothing leads to the first node from outside."""
        entered = sorted(
            name
            for name in self.nodes - {self.first}
            if any(end == name and start not in self.nodes for start, end in self._ways())
        )
        if entered:
            return (
                f"{self.first!r} is inside a loop that is entered at {', '.join(map(repr, entered))}; give that as before=, or make a "
                "subgraph of the one node"
            )
        return f"nothing leads to {self.first!r}; add the graph's edges before its skills"

    def _ways(self) -> set[tuple[str, str]]:
        return {(name, end) for name in [START, *self._builder.nodes] for end in self._leads(name)}

    def _exits(self) -> set[str]:
        """Where edges lead out; what leaves by a Command says so when it does."""
        commands = {name: self._commands(name) - self._edges_of(name) for name in self.nodes}
        return {target for name in self.nodes for target in self._leads(name) - commands[name]} - self.nodes

    def _redirect_branches(self, name: str, other: dict[str, str]) -> None:
        branches = self._builder.branches.get(name, {})
        for key, branch in branches.items():
            ends = branch.ends or {node: node for node in [*self._builder.nodes, END]}
            branches[key] = branch._replace(ends={label: other.get(end, end) for label, end in ends.items()})

    def _tell_of_sends(self, name: str) -> None:
        """Has a run that leaves by a `Send` of a conditional edge, which has no way through us, say so."""
        inside = frozenset(self.nodes)

        def look(places: Any) -> Any:
            for one in places if isinstance(places, list | tuple) else [places]:
                if isinstance(one, Send) and one.node not in inside:
                    logger.warning(
                        "the agent left %r by a Send of a conditional edge to %r, so its run was not judged and not recorded; leave "
                        "from the node itself: return Command(goto=[Send(...)])",
                        name,
                        one.node,
                    )
                    break
            return places

        branches = self._builder.branches.get(name, {})
        for key, branch in branches.items():
            branches[key] = branch._replace(path=branch.path | RunnableLambda(look))

    def _leads(self, name: str) -> set[str]:
        """Where a node leads, as far as the builder says."""
        return self._edges_of(name) | self._commands(name)

    def _edges_of(self, name: str) -> set[str]:
        builder = self._builder
        found = {end for start, end in builder.edges if start == name}
        found |= {end for starts, end in builder.waiting_edges if name in starts}
        for branch in builder.branches.get(name, {}).values():
            found |= set((branch.ends or {}).values())
        return found

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
            ways = {end for start, end in builder.edges if start == name} - self.nodes
            if len(ways) > 1 or any(name in starts and end not in self.nodes for starts, end in builder.waiting_edges):
                raise ConfigurationError(
                    f"{name!r} leads to several nodes at once or to a join; put one node between, and name it as the last"
                )


def _renamed(ends: tuple[str, ...] | dict[str, str] | None, other: dict[str, str]) -> Any:
    if isinstance(ends, dict):
        return {other.get(end, end): label for end, label in ends.items()}
    return tuple(other.get(end, end) for end in ends or ())
