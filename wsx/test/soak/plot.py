"""Line charts as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Line", "Panel", "draw"]

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 720, 230  # of a panel, in pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 16, 34, 40  # margins
_COLOURS = ("#d9480f", "#1971c2", "#2f9e44")


@dataclass(frozen=True)
class Line:
    """One line of a panel.

    Attributes:
        label: The text of the legend.
        points: Pairs of x and y.
    """

    label: str
    points: Points


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: The title.
        x: The label of the x axis.
        lines: The lines.
    """

    title: str
    x: str
    lines: Sequence[Line]


def draw(panels: Sequence[Panel]) -> str:
    """Return an SVG document with the panels below each other."""
    height = _HEIGHT * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate(0 {_HEIGHT * number})">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> list[str]:
    right = _step(max(x for line in panel.lines for x, _ in line.points))
    top = _step(max(y for line in panel.lines for _, y in line.points))
    parts = [_text(_LEFT, 16, panel.title, "start", "bold"), *_grid(right, top)]
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, panel.x, "middle"))
    for number, line in enumerate(panel.lines):
        colour = _COLOURS[number]
        points = " ".join(f"{_x(x, right):.1f},{_y(y, top):.1f}" for x, y in line.points)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        legend = _text(_WIDTH - _RIGHT, 16 + 14 * number, line.label, "end")
        parts.append(legend.replace("<text", f'<text fill="{colour}"', 1))
    return parts


def _grid(right: float, top: float) -> list[str]:
    parts = []
    for number in range(6):
        x, y = right * number / 5, top * number / 5
        at_x, at_y = _x(x, right), _y(y, top)
        parts += [
            f'<path d="M{_LEFT} {at_y:.1f}H{_WIDTH - _RIGHT}" stroke="#dee2e6"/>',
            _text(_LEFT - 6, at_y + 4, f"{y:g}", "end"),
            _text(at_x, _HEIGHT - _BOTTOM + 16, f"{x:g}", "middle"),
        ]
    return parts


def _x(value: float, right: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / right


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top


def _step(value: float) -> float:
    """Return the smallest limit of an axis that is at least ``value`` and divides well by 5."""
    unit = 1.0
    while unit * 10 < value:
        unit *= 10
    return next(unit * factor for factor in (1, 1.5, 2, 2.5, 5, 10) if unit * factor >= value)


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )
