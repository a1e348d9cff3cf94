"""Draws the chart of a part's states as SVG: the site loads no program that could draw it in the browser.

The chart of the README, which has another form, is left out of the site.
"""

from __future__ import annotations

import math
import re

_EDGE = re.compile(r"^ +(\S+) --> (\S+)$", flags=re.MULTILINE)
WIDTH, HEIGHT, ASIDE = 110, 36, 7
PLACES = {
    "queued": (330, 60),
    "sending": (330, 170),
    "unknown": (560, 170),
    "expired": (60, 170),
    "cancelled": (60, 60),
    "accepted": (195, 300),
    "partial": (330, 300),
    "rejected": (490, 300),
    "exhausted": (60, 300),
}
"""The middle of each state's box."""


def drawn(mermaid: str) -> str:
    """A chart of states as SVG; an empty text for another chart; KeyError for a state without a place."""
    if not mermaid.startswith("stateDiagram-v2"):
        return ""
    moves = [(a, b) for a, b in _EDGE.findall(mermaid) if "[*]" not in (a, b)]
    final = {a for a, b in _EDGE.findall(mermaid) if b == "[*]"}
    edges = "".join(f'<path d="{_way(*PLACES[a], *PLACES[b])}" marker-end="url(#tip)"/>' for a, b in moves)
    boxes = "".join(_box(name, name in final) for name in PLACES)
    return (
        '<svg class="states" viewBox="0 0 640 340" role="img" aria-label="states">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 8 4 0 8z"/></marker></defs><g class="moves">{edges}</g>{boxes}</svg>\n'
    )


def _box(name: str, is_final: bool) -> str:
    x, y = PLACES[name]
    kind = "final" if is_final else "open"
    return (
        f'<rect class="{kind}" x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{x}" y="{y + 5}">{name}</text>'
    )


def _way(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line between two boxes, from edge to edge, a little to its right so that two ways of a pair stay apart."""
    dx, dy = x2 - x1, y2 - y1
    length = math.hypot(dx, dy)
    aside_x, aside_y = -dy / length * ASIDE, dx / length * ASIDE
    out, into = _edge(dx, dy, aside_x, aside_y), _edge(-dx, -dy, aside_x, aside_y)
    from_x, from_y = x1 + aside_x + dx * out, y1 + aside_y + dy * out
    to_x, to_y = x2 + aside_x - dx * into, y2 + aside_y - dy * into
    return f"M{from_x:.0f} {from_y:.0f} {to_x:.0f} {to_y:.0f}"


def _edge(dx: float, dy: float, aside_x: float, aside_y: float) -> float:
    """How many times (dx, dy) lead from a place beside a box's middle to the box's edge."""
    return min(
        half / abs(step) - aside / step
        for half, step, aside in ((WIDTH / 2, dx, aside_x), (HEIGHT / 2, dy, aside_y))
        if step
    )
