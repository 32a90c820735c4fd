"""Charts: a table of numbers in CSV or JSON, seen as its drawing, its numbers told in words."""

import csv
import json
from collections.abc import Callable
from io import StringIO
from typing import Annotated, Any, Literal

from PIL import Image
from pydantic import Field

from modalink import json_files
from modalink.files import Damaged
from modalink.kinds import Settings
from modalink.modalities import _drawn, _plots

MOST = 1000
"""Most places of a chart."""


Drawable = Annotated[float, Field(ge=-1e100, le=1e100)]


class Chart(Settings):
    """What a chart shows; a JSON file has these keys."""

    labels: list[str] = Field(min_length=1, max_length=MOST)
    series: dict[str, list[Drawable]] = Field(min_length=1, max_length=len(_plots.COLOURS))
    """The numbers of each line, or of the bars of each colour: as many as labels."""
    title: str = ""
    kind: Literal["line", "bar"] = "bar"


def _parse(content: bytes, damaged: Damaged) -> Chart:
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        chart: Chart = json_files.parse(content, damaged, Chart)
    else:
        head, *rows = _drawn.csv_rows(content, damaged)
        labels, *columns = zip(*rows, strict=True) if rows else [()] * len(head)
        given = {"labels": [*labels], "series": dict(zip(head[1:], map(list, columns), strict=True))}
        chart = json_files.shaped(given, damaged, Chart)
    counts = [len(values) for values in chart.series.values()]
    if {*counts} != {len(chart.labels)}:
        raise damaged(f"found series of {counts} numbers and {len(chart.labels)} labels, needed as many in each")
    return chart


def _rows(chart: Chart, spelt: Callable[[float], Any]) -> list[tuple[Any, ...]]:
    columns = [map(spelt, values) for values in chart.series.values()]
    return [("", *chart.series), *zip(chart.labels, *columns, strict=True)]


def _tell(chart: Chart) -> str:
    """The chart as a table."""
    rows = _rows(chart, _plots.number)[: _drawn.TOLD // (1 + len(chart.series))]
    return "\n".join([*filter(None, [chart.title]), *map(" | ".join, rows)])


def _form(chart: Chart, suffix: str) -> bytes:
    if suffix == ".json":
        return json.dumps(chart.model_dump()).encode()
    out = StringIO()
    csv.writer(out).writerows(_rows(chart, repr))
    return out.getvalue().encode()


def _draw(chart: Chart) -> Image.Image:
    return _plots.table(chart.labels, chart.series, chart.title, lines=chart.kind == "line")


def _example(number: int) -> Image.Image:
    values = [float((7 * place + number) % 9 - 2) for place in range(4 + number)]
    return DRAWING.picture(Chart(labels=[f"place {place}" for place in range(len(values))], series={"size": values}))


DRAWING = _drawn.Drawing("chart", _parse, _draw, _tell, _form)
RECORD = _drawn.record(DRAWING, _example, (".csv", ".json"), ".json")
