"""Charts and heat maps: seen as a picture, told in words; bad files are named."""

import json

import numpy as np
import pytest

from modalink import modalities
from modalink.errors import MediumError
from modalink.testing import check_modality

CSV = b"month,sales,costs\nJan,3,-1\nFeb,4.5,2\n"
JSON = {"labels": ["Jan", "Feb"], "series": {"sales": [3, 4.5], "costs": [-1, 2]}, "title": "A year", "kind": "line"}


@pytest.mark.parametrize("name", ["chart", "heatmap"])
def test_they_keep_the_promises_of_all(name):
    for number in range(3):
        check_modality(modalities.get(name), modalities.get(name).example(number))


def test_a_chart_is_bars_or_lines_and_its_table(tmp_path):
    (tmp_path / "a.csv").write_bytes(CSV)
    chart = modalities.get("chart").open(tmp_path / "a.csv")
    assert chart.text == " | sales | costs\nJan | 3 | -1\nFeb | 4.5 | 2"
    pixels = np.asarray(chart.read())
    assert pixels.shape == (448, 448, 3) == (chart.height, chart.width, 3)
    lines = modalities.get("chart").open(json.dumps(JSON).encode())
    assert lines.text == f"A year\n{chart.text}"
    blue = [int((np.asarray(handle.read()) == (31, 119, 180)).all(-1).sum()) for handle in (chart, lines)]
    assert blue[0] > 4 * blue[1] > 0


def test_bars_are_as_high_as_their_numbers():
    pixels = np.asarray(modalities.get("chart").read(b",size\na,1\nb,4\nc,-2\n"))
    blue = (pixels == (31, 119, 180)).all(-1)[44:]  # below the legend
    heights = [int(blue[:, column].sum()) for column in (110, 240, 370)]
    assert heights[1] == pytest.approx(4 * heights[0], abs=4) and heights[2] == pytest.approx(2 * heights[0], abs=4)


def test_a_heat_map_is_colours_and_its_numbers():
    values = np.zeros((2, 3))
    values[1, 2] = 8
    heatmap = modalities.get("heatmap").open(b"0,0,0\n0,0,8\n")
    assert heatmap.text == "2 rows, 3 columns, from 0 (dark blue) to 8 (yellow)\n0 0 0\n0 0 8"
    pixels = np.asarray(heatmap.read())
    assert tuple(pixels[400, 370]) == (253, 231, 37) and tuple(pixels[60, 10]) == (68, 1, 84)


def test_of_many_numbers_the_means_are_told(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(40 * 20, dtype=np.int16).reshape(40, 20))
    text = modalities.get("heatmap").open(tmp_path / "a.npy").text
    first, *rows = text.split("\n")
    assert first.endswith("; means of blocks of 3 x 2") and len(rows) == 14 and rows[0].split()[0] == "20.5"


def npy(values):
    from io import BytesIO

    out = BytesIO()
    np.save(out, values)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("chart", b"a\n1\n", "under 'series', needed"),
        ("chart", b"a,b\nx,1,2\n", "found 2 lines of values that differ in number"),
        ("chart", b"a,b\nx,much\n", "found 'much' under 'series.b.0', needed a"),
        ("chart", b"a,b\nx,nan\n", "under 'series.b.0', needed a finite number"),
        ("chart", b"a,b\nx,1e200\n", "under 'series.b.0'"),
        ("chart", b"\xff\xfe\x00", "is no text in UTF-8"),
        ("chart", b'{"labels": ["x"]}', "the key 'series' is missing"),
        (
            "chart",
            b'{"labels": ["x"], "series": {"a": [1, 2]}}',
            "found series of [2] numbers and 1 labels, needed as many",
        ),
        ("chart", b'{"labels": ["x"], "series"', "is no JSON"),
        ("chart", ("a,b\n" + "x,1\n" * 2000).encode(), "under 'labels'"),
        ("heatmap", b"1,2\n3\n", "found 2 lines of values that differ in number"),
        ("heatmap", b"1,x\n", "is no CSV of numbers"),
        ("heatmap", b"1,nan\n", "holds NaN"),
        ("heatmap", b"1,-inf\n", "holds NaN, infinities"),
        ("heatmap", b"\n", "found 0 lines of values"),
        ("heatmap", npy(np.zeros((2, 2, 2))), "found an array of shape (2, 2, 2), needed [rows columns]"),
        ("heatmap", npy(np.zeros((1, 5000))), "found an array of shape (1, 5000)"),
        ("heatmap", npy(np.array([["a"]])), "holds values of type <U1"),
        ("heatmap", npy(np.zeros((4, 4)))[:-1], "is no whole .npy file"),
        ("heatmap", npy(np.zeros((4, 4))).replace(b"(4, 4)", b"(9, 9999999999999)"), "is no whole .npy file"),
        ("heatmap", npy(np.zeros((4, 4))) + bytes(8), "is no whole .npy file"),
        ("heatmap", npy(np.zeros((4, 4))).replace(b"(4, 4)", b"(-1,4)"), "found the shape (-1, 4)"),
        ("heatmap", npy(np.zeros((4, 4))).replace(b"'descr'", b"(descr'"), "is no whole .npy file"),
        ("heatmap", npy(np.zeros((4, 4), complex)), "holds values of type complex128"),
    ],
)
def test_a_bad_file_is_named_with_what_was_needed(tmp_path, name, content, words):
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(MediumError) as error:
        modalities.get(name).read(path)
    assert words in str(error.value) and str(path) in str(error.value) and error.value.reason == f"not_a_{name}"


def test_a_picture_of_nothing_cannot_be_written(tmp_path):
    image = modalities.get("image").example(0)
    with pytest.raises(MediumError, match="needed one that shows a chart's data"):
        modalities.get("chart").write(image, tmp_path / "a.csv")
    with pytest.raises(MediumError, match="needed a path, bytes or data URL of a chart"):
        modalities.get("chart").open(image)
