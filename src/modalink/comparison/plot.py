"""What designs reached, as one SVG file: a point with its interval for each, and a tick for each seed."""

from collections.abc import Sequence

from markupsafe import Markup

from modalink.comparison.results import Reached, Row

Number = float | int

_ROW, _TOP, _BOTTOM, _NAME, _PANEL, _GAP, _VALUE = 24, 34, 26, 190, 300, 24, 56
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.head{font-weight:600}.tick,.axis{fill:#777;font-size:11px}"
    ".grid{stroke:#ddd}.bar{stroke:#3b6ea5;stroke-width:2}.mean{fill:#3b6ea5}.seed{stroke:#d08a2e;stroke-width:1.5}"
    "svg{background:#fff}"
)


def plot(rows: Sequence[Row], benchmarks: Sequence[str]) -> Markup:
    """Draw designs from top to bottom, a panel for each benchmark.

    Args:
        rows: The designs, in this order.
        benchmarks: Headings of the panels.
    """
    width = _NAME + len(benchmarks) * (_PANEL + _VALUE + _GAP)
    height = _TOP + _ROW * len(rows) + _BOTTOM
    names = [_text("", 8, _middle(i), row.name) for i, row in enumerate(rows)]
    panels = [
        shape
        for number, heading in enumerate(benchmarks)
        for shape in _panel(heading, [row.reached[heading] for row in rows], _NAME + number * (_PANEL + _VALUE + _GAP))
    ]
    label = f"{', '.join(benchmarks)} of {len(rows)} designs"
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" width="{}" role="img" aria-label="{}">'
        "<style>{}</style>{}</svg>\n"
    ).format(width, height, width, label, Markup(_STYLE), Markup("").join([*names, *panels]))


def _panel(heading: str, reached: Sequence[Reached], left: int) -> list[Markup]:
    low, high = _range(reached)

    def x(share: float) -> float:
        return round(left + (share - low) / (high - low) * _PANEL, 1)

    bottom = _TOP + _ROW * len(reached)
    shapes = [_text("head", left, 14, f"{heading}, %")]
    for percent in range(round(100 * low), round(100 * high) + 1, 10 if high - low > 0.35 else 5):
        shapes += [
            _line("grid", x(percent / 100), _TOP - 8, x(percent / 100), bottom),
            _text("tick", x(percent / 100), bottom + 14, str(percent), "middle"),
        ]
    for i, one in enumerate(reached):
        y = _middle(i) - 4
        shapes.append(_line("bar", x(one.interval[0]), y, x(one.interval[1]), y))
        if len(one.by_seed) > 1:
            shapes += [_line("seed", x(value), y - 5, x(value), y + 5) for value in one.by_seed]
        shapes.append(Markup('<circle class="mean" cx="{}" cy="{}" r="4"/>').format(x(one.value), y))
        shapes.append(_text("", left + _PANEL + 10, _middle(i), f"{100 * one.value:.1f}"))
    return shapes


def _range(reached: Sequence[Reached]) -> tuple[float, float]:
    """Round bounds around all that is drawn, as shares."""
    values = [value for one in reached for value in (*one.interval, *one.by_seed)]
    low, high = int(min(values) * 20) / 20, -int(-max(values) * 20) / 20
    return max(0.0, low), min(1.0, high + 0.05) if high < max(values) or high == low else high


def _middle(row: int) -> float:
    return _TOP + _ROW * row + _ROW / 2 + 4


def _line(style: str, x1: Number, y1: Number, x2: Number, y2: Number) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(style, x1, y1, x2, y2)


def _text(style: str, x: Number, y: Number, text: str, anchor: str = "start") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(style, x, y, anchor, text)
