"""Charts as SVG, made on the server: each is a picture with a name for screen readers, and needs no script to be seen.

They are built as a tree, so that no text can become markup, and they have classes for colours, so that they follow light and dark.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.etree import ElementTree as ET

from markupsafe import Markup

WIDTH, HEIGHT = 960, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 14, 14, 34
MOST_POINTS = 300
"""Points of a line that are drawn; a screen has not many more."""

MOST_MARKS = 24

MOST_LABELS = 40
"""Points of a map up to which each has its name beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A line: its name, its points `(x, y)` in the order of x, and which of the colours it has, `a` to `d`."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str = "a"
    dots: bool = False


class Moment(NamedTuple):
    """A moment of change on the x axis, with its words."""

    x: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The axes of a chart.

    Args:
        x: What x is.
        y: What y is.
        low: The lowest y; None follows the points.
        high: The highest y.
        tick: Returns the words at an x.
    """

    x: str
    y: str
    low: float | None = None
    high: float | None = None
    tick: Callable[[float], str] = field(default=lambda value: f"{value:g}")


def line_chart(title: str, series: Sequence[Series], axes: Axes, *, moments: Sequence[Moment] = ()) -> Markup:
    """Draws lines over one x axis; empty if there is no point."""
    points = [point for one in series for point in one.points if all(map(math.isfinite, point))]
    if not points:
        return Markup("")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low = min(ys) if axes.low is None else axes.low
    high = max(ys) if axes.high is None else axes.high
    span = high - low or abs(high) or 1.0
    low, high = (
        (low if axes.low is not None else low - 0.05 * span),
        (high if axes.high is not None else high + 0.05 * span),
    )
    place = _Place(min(xs), max(xs), low, high)
    root = _picture(title, WIDTH, HEIGHT)
    _grid(root, place, axes)
    for moment in moments[-MOST_MARKS:]:
        x = place.x(moment.x)
        mark = _add(root, "g", {"class": "moment"})
        _add(mark, "line", {"x1": x, "x2": x, "y1": _TOP, "y2": HEIGHT - _BOTTOM})
        _add(mark, "circle", {"cx": x, "cy": _TOP, "r": 4})
        _add(mark, "title", {}, moment.text)
    for one in series:
        shown = _thinned([point for point in one.points if all(map(math.isfinite, point))])
        if len(shown) > 1:
            path = " ".join(f"{place.x(x)},{place.y(y)}" for x, y in shown)
            line = _add(root, "polyline", {"class": f"line {one.colour}", "points": path})
            _add(line, "title", {}, one.name)
        for x, y in shown if one.dots or len(shown) < 2 else ():
            dot = _add(root, "circle", {"class": f"dot {one.colour}", "cx": place.x(x), "cy": place.y(y), "r": 4})
            _add(dot, "title", {}, f"{one.name}: {axes.tick(x)}, {y:.3g}")
    return _markup(root)


class Dot(NamedTuple):
    """A point of a map: its place in [-1, 1] twice, its colour's class, its radius, where it leads, what it is, its name beside it."""

    x: float
    y: float
    colour: str
    radius: float
    href: str
    text: str
    label: str = ""


def scatter(title: str, dots: Sequence[Dot], crosses: Sequence[Dot] = ()) -> Markup:
    """Draws points that are links; crosses are drawn over them."""
    wide, high, margin = 960, 560, 40
    root = _picture(title, wide, high, role="group")
    _add(root, "rect", {"class": "field", "x": 0.5, "y": 0.5, "width": wide - 1, "height": high - 1, "rx": 8})
    for dot in dots:
        x, y = _at(dot.x, wide, margin), _at(-dot.y, high, margin)
        link = _add(root, "a", {"href": dot.href, "aria-label": dot.text})
        _add(link, "title", {}, dot.text)
        _add(link, "circle", {"class": f"point {dot.colour}", "cx": x, "cy": y, "r": round(dot.radius, 1)})
        if len(dots) <= MOST_LABELS:
            near_edge = x > wide - 180
            place = {"x": x - 10 if near_edge else x + 10, "y": y + 4, "text-anchor": "end" if near_edge else "start"}
            _add(link, "text", {"class": "label", **place}, dot.label)
    for dot in crosses:
        x, y = _at(dot.x, wide, margin), _at(-dot.y, high, margin)
        link = _add(root, "a", {"href": dot.href, "aria-label": dot.text})
        _add(link, "title", {}, dot.text)
        path = f"M{x - 4},{y - 4}L{x + 4},{y + 4}M{x + 4},{y - 4}L{x - 4},{y + 4}"
        _add(link, "path", {"class": "cross", "d": path})
    return _markup(root)


class TreeNode(NamedTuple):
    """A version in a lineage: its number, its parent's, its status, where it leads and what it is."""

    number: int
    parent: int | None
    status: str
    href: str
    text: str


def tree(title: str, nodes: Sequence[TreeNode]) -> Markup:
    """Draws a lineage from left to right: a step of x a generation from the first version, a row for each branch."""
    step, row = 84, 46
    known = {node.number for node in nodes}
    children: dict[int | None, list[TreeNode]] = {}
    for node in nodes:
        parent = node.parent if node.parent in known and node.parent != node.number else None
        children.setdefault(parent, []).append(node)
    places: dict[int, tuple[int, int]] = {}
    free = 0
    # By hand, not by recursion: a lineage may be longer than Python's stack.
    todo = [(node, 0, True) for node in reversed(children.get(None, []))]
    while todo:
        node, depth, new_row = todo.pop()
        if node.number in places:
            continue
        if new_row:
            free += 1
        places[node.number] = depth, free - 1
        below = children.get(node.number, [])
        todo += [(child, depth + 1, at > 0) for at, child in reversed(list(enumerate(below)))]
    if not places:
        return Markup("")
    wide = max(depth for depth, _ in places.values()) * step + 76
    root = _picture(title, wide, free * row + 20, role="group", shrink=False)
    for node in nodes:
        if node.parent in places and node.number in places:
            x, y = _node(places[node.number], step, row)
            from_x, from_y = _node(places[node.parent], step, row)
            middle = (x + from_x) / 2
            _add(root, "path", {"class": "branch", "d": f"M{from_x},{from_y}C{middle},{from_y} {middle},{y} {x},{y}"})
    for node in nodes:
        if node.number in places:
            x, y = _node(places[node.number], step, row)
            link = _add(root, "a", {"href": node.href, "aria-label": node.text})
            _add(link, "title", {}, node.text)
            _add(link, "circle", {"class": f"node {node.status}", "cx": x, "cy": y, "r": 15})
            _add(
                link,
                "text",
                {"class": f"number {node.status}", "x": x, "y": y + 4.5, "text-anchor": "middle"},
                str(node.number),
            )
    return _markup(root)


def interval(value: float | None, low: float | None, high: float | None) -> Markup:
    """Draws a difference of rewards with its interval, from -1 to 1, around a line at 0; empty where it is not known."""
    if value is None or low is None or high is None:
        return Markup("")
    wide, high_px = 104, 18
    root = ET.Element(
        "svg",
        {
            "class": "interval",
            "viewBox": f"0 0 {wide} {high_px}",
            "width": str(wide),
            "height": str(high_px),
            "aria-hidden": "true",
        },
    )
    verdict = "good" if low > 0 else "bad" if high < 0 else "unsure"

    def x(amount: float) -> float:
        return round(4 + (max(-1.0, min(1.0, amount)) + 1) / 2 * (wide - 8), 1)

    _add(root, "line", {"class": "zero", "x1": x(0), "x2": x(0), "y1": 1, "y2": high_px - 1})
    _add(root, "line", {"class": f"reach {verdict}", "x1": x(low), "x2": x(high), "y1": high_px / 2, "y2": high_px / 2})
    _add(root, "circle", {"class": f"middle {verdict}", "cx": x(value), "cy": high_px / 2, "r": 4})
    return _markup(root)


class _Place:
    """From values to pixels."""

    def __init__(self, left: float, right: float, low: float, high: float) -> None:
        self.left, self.right, self.low, self.high = left, right, low, high

    def x(self, value: float) -> float:
        span = self.right - self.left
        share = (value - self.left) / span if span else 0.5
        return round(_LEFT + min(1.0, max(0.0, share)) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(HEIGHT - _BOTTOM - min(1.0, max(0.0, share)) * (HEIGHT - _TOP - _BOTTOM), 1)


def _grid(root: ET.Element, place: _Place, axes: Axes) -> None:
    for at in range(5):
        value = place.low + at * (place.high - place.low) / 4
        y = place.y(value)
        _add(root, "line", {"class": "grid", "x1": _LEFT, "x2": WIDTH - _RIGHT, "y1": y, "y2": y})
        _add(root, "text", {"class": "tick", "x": _LEFT - 7, "y": y + 4, "text-anchor": "end"}, f"{value:.3g}")
    steps = 4 if place.right > place.left else 0
    for at in range(steps + 1):
        value = place.left + at * (place.right - place.left) / max(steps, 1)
        anchor = "start" if at == 0 and steps else "end" if at == steps and steps else "middle"
        _add(
            root,
            "text",
            {"class": "tick", "x": place.x(value), "y": HEIGHT - 14, "text-anchor": anchor},
            axes.tick(value),
        )


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    if len(points) <= MOST_POINTS:
        return points
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(at * step)] for at in range(MOST_POINTS)]


def _picture(title: str, wide: float, high: float, *, role: str = "img", shrink: bool = True) -> ET.Element:
    root = ET.Element(
        "svg",
        {
            "class": "chart" if shrink else "chart own-size",
            "viewBox": f"0 0 {wide} {high}",
            "role": role,
            "aria-label": _text(title),
        },
    )
    if not shrink:
        root.set("width", str(wide))
        root.set("height", str(high))
    return root


def _at(value: float, length: int, margin: int) -> float:
    return round(margin + (value + 1) / 2 * (length - 2 * margin), 1)


def _node(place: tuple[int, int], step: int, row: int) -> tuple[float, float]:
    return 38.0 + place[0] * step, 30.0 + place[1] * row


def _add(parent: ET.Element, name: str, attributes: dict[str, object], text: str = "") -> ET.Element:
    made = ET.SubElement(parent, name, {key: _text(str(value)) for key, value in attributes.items()})
    if text:
        made.text = _text(text)
    return made


def _text(value: str) -> str:
    """Returns a text without the characters that XML cannot hold."""
    return "".join(char for char in value if char in "\n\t" or (ord(char) >= 32 and not 0xD800 <= ord(char) <= 0xDFFF))


def _markup(root: ET.Element) -> Markup:
    return Markup(ET.tostring(root, encoding="unicode", method="html"))  # noqa: S704 - a tree, whose texts are escaped as it is written
