"""Damaged charts, heat maps and web pages are read or refused in words: what is told of them is all that they hold."""

import json

import numpy as np
import pytest
from hypothesis import given

from modalink import modalities
from modalink.modalities import heatmap, webpage
from tests.robustness.fuzzing import fuzzed
from tests.robustness.mutations import as_json, damaged_bytes, damaged_tree
from tests.robustness.watch import held

_TABLE = b"year,apples,pears\n2019,3,-1.5\n2020,4e3,2\n2021,7,0.25\n"
_CHART = {
    "title": "fruit",
    "kind": "line",
    "labels": ["2019", "2020"],
    "series": {"apples": [3, 4.5], "pears": [-1, 2]},
}
_PAGE = b"""<!doctype html><html><head><title>Unseen</title><style>p {color: red}</style></head><body><h1>Sale &amp; more</h1>
<p>Apples <b>3</b> pears</p><script>alert("no")</script><table><tr><td>one<td>two</table><!-- <p>not this --></body></html>"""


def numbers(suffix: str) -> bytes:
    return heatmap.DRAWING.form(np.random.default_rng(0).normal(size=(5, 4)), suffix)


def _check_chart(content: bytes) -> None:
    handle = modalities.get("chart").open(content)
    shown = handle.data()
    assert all(len(values) == len(shown.labels) and np.isfinite(values).all() for values in shown.series.values())
    assert handle.text.count("\n") >= min(len(shown.labels), 1) and handle.read().mode == "RGB"


@pytest.mark.parametrize("content", [_TABLE, json.dumps(_CHART).encode()], ids=["csv", "json"])
def test_damaged_charts(content: bytes) -> None:
    @fuzzed(3)
    @given(content=damaged_bytes(content))
    def read(content: bytes) -> None:
        with held():
            _check_chart(content)

    read()


@fuzzed(2)
@given(tree=damaged_tree(_CHART))
def test_damaged_trees_of_charts(tree: object) -> None:
    with held():
        _check_chart(as_json(tree).encode(errors="replace"))


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_damaged_heatmaps(suffix: str) -> None:
    @fuzzed(4)
    @given(content=damaged_bytes(numbers(suffix)))
    def read(content: bytes) -> None:
        with held():
            handle = modalities.get("heatmap").open(content)
            shown = handle.data()
            assert shown.ndim == 2 and shown.size and np.isfinite(shown).all()
            assert f"{len(shown)} rows" in handle.text and handle.read().mode == "RGB"

    read()


@fuzzed(8)
@given(content=damaged_bytes(_PAGE))
def test_damaged_pages(content: bytes) -> None:
    """The words; the picture is drawn where there is a browser."""
    with held():
        handle = modalities.get("webpage").open(content)
        assert len(handle.text) <= webpage.TOLD
        handle.read()
