"""Charts as SVG files; the same numbers always produce the same file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.curves import FLAT, Curve
from benchmarks.latency import PERCENTILES, Histogram, bucket_bound
from benchmarks.peers import PEERS
from benchmarks.results import CurveResult, RowResult, Spread

matplotlib.use("svg")
matplotlib.rcParams |= {
    "svg.fonttype": "none",
    "svg.hashsalt": "wsx",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

from matplotlib import pyplot  # noqa: E402  # The backend must be set first.
from matplotlib.ticker import EngFormatter  # noqa: E402

# The bars of histograms: from 10 µs to 12 s.
_UNIT, _STEP, _STEPS = 1e-5, 1.1, 148
_WSX, _COMPETITOR, _BASELINE = "#d9480f", "#868e96", "#ced4da"
_LINES = {"wsx": _WSX, "wsx-pure": "#f08c00", "picows+aiofastnet": "#1971c2", "autobahn": "#2f9e44"}


def draw_row(result: RowResult, folder: Path) -> None:
    """Draw a bar for each peer: the median, with a whisker from minimum to maximum."""
    row, spreads = result.row, result.spreads()
    names = sorted(spreads, key=lambda name: spreads[name].median, reverse=row.lower_is_better)
    if not names:
        return
    figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.32 * len(names)), layout="constrained")
    medians = [spreads[name].median for name in names]
    axes.barh(
        names,
        medians,
        xerr=_whiskers([spreads[name] for name in names]),
        color=[_colour(name) for name in names],
        error_kw={"elinewidth": 1, "capsize": 2},
    )
    axes.set_title(row.title, loc="left")
    axes.set_xlabel(f"{row.unit} ({'less' if row.lower_is_better else 'more'} is better)")
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    _save(figure, folder / f"row-{row.name}.svg")


def draw_histograms(result: RowResult, folder: Path) -> None:
    """Draw the histogram of the round trips of each peer, one above the other."""
    found = result.histograms()
    names = sorted(found, key=lambda name: found[name].percentile(99))
    if not names:
        return
    figure, rows = pyplot.subplots(
        len(names),
        sharex=True,
        squeeze=False,
        figsize=(7, 0.9 + 0.6 * len(names)),
        layout="constrained",
    )
    for axes, name in zip(rows[:, 0], names, strict=True):
        _draw_histogram(axes, name, found[name])
    rows[0, 0].set_title("Echo round trips under load, over TLS", loc="left")
    rows[-1, 0].set_xlabel("s (lines: p50, p99, p99.9 and maximum)")
    rows[-1, 0].xaxis.set_major_formatter(EngFormatter(sep=" "))
    _save(figure, folder / f"histogram-{result.row.name}.svg")


def _draw_histogram(axes: Any, name: str, histogram: Histogram) -> None:
    bounds = [bucket_bound(bucket) for bucket in histogram.buckets]
    edges = [_UNIT * _STEP**step for step in range(_STEPS)]
    counts = list(histogram.buckets.values())
    axes.hist(bounds, edges, weights=counts, color=_colour(name), histtype="stepfilled")
    for value in (*map(histogram.percentile, PERCENTILES), histogram.maximum):
        axes.axvline(value, color="#212529", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks([])
    axes.set_ylabel(name, rotation=0, ha="right", va="center")


def draw_curve(result: CurveResult, folder: Path) -> None:
    """Draw a line for each peer: the medians, with a whisker at each point."""
    curve, spreads = result.curve, result.spreads()
    if not spreads:
        return
    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    for name, points in spreads.items():
        medians = [one.median for one in points]
        style: dict[str, Any] = {"color": _LINES.get(name), "marker": "o", "markersize": 4}
        axes.errorbar(result.points, medians, _whiskers(points), label=name, capsize=2, **style)
    axes.set_title(curve.title, loc="left")
    axes.set_xlabel(curve.x)
    axes.set_ylabel(curve.unit)
    axes.legend(frameon=False)
    _scale(axes, curve)
    _save(figure, folder / f"curve-{curve.name}.svg")


def _scale(axes: Any, curve: Curve) -> None:
    """Scale the axes: the y axis of a flat curve starts at 0, others are logarithmic."""
    axes.set_xscale("log")
    if curve.expectation == FLAT:
        axes.set_ylim(0, axes.get_ylim()[1] * 1.1)
    else:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(EngFormatter(sep=" "))
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.yaxis.set_major_formatter(EngFormatter(sep=" "))


def _whiskers(spreads: list[Spread]) -> tuple[list[float], list[float]]:
    below = [one.median - one.minimum for one in spreads]
    return below, [one.maximum - one.median for one in spreads]


def _colour(name: str) -> str:
    if name.startswith("wsx"):
        return _WSX
    return _COMPETITOR if PEERS[name].competitor else _BASELINE


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
