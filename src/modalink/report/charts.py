"""Small line charts as inline SVG; colours and type come from the page's style sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 26
_MOST_POINTS = 240


@dataclass(frozen=True)
class Series:
    """A named line; a `raw` one is drawn faintly behind its smoothed self."""

    name: str
    points: Points
    raw: bool = False


@dataclass(frozen=True)
class _Axis:
    """Maps data to pixels, linearly or by logarithms."""

    low: float
    high: float
    first_px: int
    last_px: int
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.first_px + share * (self.last_px - self.first_px), 1)

    def ticks(self) -> list[float]:
        """A few round values inside the axis."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            rounded = [m * 10.0**p for p in powers for m in (1, 2, 5) if self.low <= m * 10.0**p <= self.high]
            return rounded[:: -(-len(rounded) // 5)] if rounded else [self.low, self.high]
        step = _round_step((self.high - self.low) / 4)
        return [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def loss_chart(name: str, points: Points) -> Markup:
    """One objective's loss over the steps: every step faintly, and smoothed."""
    lines = [Series("each step", points, raw=True), Series("smoothed", smoothed(points))]
    return line_chart(name, lines, may_log=True)


def line_chart(title: str, series: Sequence[Series], *, may_log: bool = False) -> Markup:
    """Lines over steps; with `may_log` positive values that span more than a factor of 8 get a logarithmic axis."""
    drawn = [Series(line.name, thinned(line.points), line.raw) for line in series if line.points]
    values = [y for line in drawn for _, y in line.points if math.isfinite(y)]
    if not values:
        return Markup("")
    low, high = min(values), max(values)
    log = may_log and low > 0 and high / low > 8
    if not log:
        margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        low, high = (0.0 if 0 <= low < (high - low) * 2 else low - margin), high + margin
    x = _Axis(0.0, max(x for line in drawn for x, _ in line.points), _LEFT, _WIDTH - _RIGHT)
    y = _Axis(low, high, _HEIGHT - _BOTTOM, _TOP, log)
    body = [*_grid(x, y), *(_path(line, i, x, y) for i, line in enumerate(drawn))]
    shapes = Markup("").join(body)
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}: from {} to {}">{}</svg>').format(
        _WIDTH, _HEIGHT, title, _short(values[0]), _short(values[-1]), shapes
    )


def smoothed(points: Points) -> list[tuple[float, float]]:
    """An exponential moving average over about a thirtieth of the points, without the pull to zero at its start."""
    decay = 1 - 1 / max(2.0, len(points) / 30)
    total = weight = 0.0
    averages = []
    for x, y in points:
        if math.isfinite(y):
            total, weight = decay * total + y, decay * weight + 1
        if weight:
            averages.append((x, total / weight))
    return averages


def thinned(points: Points) -> list[tuple[float, float]]:
    """At most a few hundred points: means over equal pieces."""
    size = -(-len(points) // _MOST_POINTS)
    pieces = [points[i : i + size] for i in range(0, len(points), max(1, size))]
    return [(sum(x for x, _ in p) / len(p), sum(y for _, y in p) / len(p)) for p in pieces]


def _grid(x: _Axis, y: _Axis) -> list[Markup]:
    line = Markup(
        '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>'
    )
    rows = [line.format(_LEFT, _WIDTH - _RIGHT, y(v), y(v), _LEFT - 6, y(v) + 3.5, "end", _short(v)) for v in y.ticks()]
    bottom = _HEIGHT - _BOTTOM
    columns = [line.format(x(v), x(v), bottom, bottom + 4, x(v), bottom + 16, "middle", f"{v:g}") for v in x.ticks()]
    return rows + columns


def _path(line: Series, number: int, x: _Axis, y: _Axis) -> Markup:
    points = " ".join(f"{x(a)},{y(b)}" for a, b in line.points if math.isfinite(b))
    style = "raw" if line.raw else f"line s{number}"
    return Markup('<polyline class="{}" points="{}"/>').format(style, points)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def _short(value: float) -> str:
    return f"{value:.0e}".replace("e-0", "e-") if 0 < abs(value) < 1e-3 else f"{value:.3g}"
