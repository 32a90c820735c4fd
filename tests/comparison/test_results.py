"""Tables of several designs, seeds and benchmarks, from numbers that are set."""

from xml.etree import ElementTree

import numpy as np
import pytest

from modalink.comparison.measuring import Measured
from modalink.comparison.page import markdown
from modalink.comparison.plot import plot
from modalink.comparison.results import results
from modalink.errors import DataError
from modalink.scoring.paired import holm


def _measured(scores, questions=None):
    named = questions or [str(i) for i in range(len(scores))]
    return Measured({"accuracy": scores}, {"accuracy": named}, 64.0, [3, 2], 10, 5, 100, 2.0, 1.0, 2**20)


@pytest.fixture
def comparison(make_comparison):
    designs = [{"name": name, "recipe": "demo"} for name in ("weak", "strong", "strong2")]
    return make_comparison(designs=designs, seeds=[0, 1], question="Which?", claim="B wins (someone)")


def _runs(share, seed):
    rng = np.random.default_rng(seed)
    return [_measured((rng.random(120) < share).astype(float).tolist()) for _ in range(2)]


@pytest.fixture
def found(comparison):
    runs = {"weak": _runs(0.3, 0), "strong": _runs(0.8, 1), "strong2": _runs(0.8, 2)}
    return results(comparison, runs, {"weak": ("the LLM is x",), "strong": (), "strong2": ()})


def test_pairs_are_corrected_for_their_number(found):
    p_values = [pair.difference.p_value for pair in found.pairs]
    assert [(pair.left, pair.right) for pair in found.pairs] == [
        ("weak", "strong"),
        ("weak", "strong2"),
        ("strong", "strong2"),
    ]
    assert [pair.corrected_p for pair in found.pairs] == holm(p_values)
    assert found.pairs[0].corrected_p < 0.001 < 0.05 < found.pairs[2].corrected_p
    assert {pair.difference.test for pair in found.pairs} == {"randomisation"}


def test_the_page_says_who_is_better_and_who_is_not_told_apart(found):
    page = markdown(found, "plot.svg")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "MiB" in line]
    assert [row.split("|")[1].strip() for row in rows][-1] == "weak"  # the best first
    assert "Which?\n\nClaimed: B wins (someone)\n\n" in page
    assert "5.00% (5) | 3 + 2 | 2.0 s | 1 MiB |" in rows[0]
    verdicts = {line.split("|")[2].strip(): line.split("|")[-2].strip() for line in page.splitlines() if "−" in line}
    assert verdicts["weak − strong"] == "differ" and verdicts["strong − strong2"] == "not told apart"
    assert "- weak: the LLM is x" in page


def test_the_plot_lies_inside_its_frame(found):
    drawn = str(plot(found.rows, ["accuracy"]))
    assert drawn.count('class="seed"') == 6 and drawn.count('class="mean"') == 3
    root = ElementTree.fromstring(drawn)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for shape in root.iter():
        for key, limit in (("x1", width), ("x2", width), ("cx", width), ("y1", height), ("cy", height)):
            assert 0 <= float(shape.attrib.get(key, 0)) <= limit


def test_other_questions_cannot_be_paired(comparison):
    runs = {"weak": _runs(0.3, 0), "strong": _runs(0.8, 1), "strong2": [_measured([1.0], ["else"])] * 2}
    with pytest.raises(DataError, match="accuracy: strong2 answered other questions than weak"):
        results(comparison, runs, dict.fromkeys(runs, ()))
