"""Mixtures of sources as designs."""

import pytest

from modalink.comparison.mixing import designs, usual
from modalink.errors import OptionError

SOURCES = [{"source": "text", "path": "a.txt"}, {"source": "text", "path": "b.txt"}]


def test_a_source_without_a_share_is_left_out_and_others_are_weighed():
    alone, mixed = designs("demo", SOURCES, [(0.0, 1.0), (1.0, 2.5)])
    assert alone == {"name": "mix-0-1", "recipe": "demo", "data": [{**SOURCES[1], "weight": 1}]}
    assert mixed["name"] == "mix-1-2_5" and [one["weight"] for one in mixed["data"]] == [1, 2.5]


def test_usual_ratios_are_each_alone_all_alike_and_more_of_each():
    assert usual(2) == [(1, 0), (0, 1), (1, 1), (3, 1), (1, 3)]
    assert len(usual(3)) == 7 and all(len(ratio) == 3 for ratio in usual(3))


@pytest.mark.parametrize(
    ("sources", "ratios", "words"),
    [
        (SOURCES[:1], [(1.0,), (2.0,)], "found 1 sources, needed two at least"),
        (SOURCES, [(1.0, 1.0)], "found 1 ratios, needed 2 to 24"),
        (SOURCES, [(1.0, 1.0), (1.0, 1.0, 1.0)], "found the ratio 1:1:1 of 2 sources"),
        (SOURCES, [(1.0, 1.0), (0.0, 0.0)], "found the ratio 0:0 of 2 sources"),
        (SOURCES, [(1.0, 1.0), (-1.0, 2.0)], "found the ratio -1:2 of 2 sources"),
        (SOURCES, [(1.0, 1.0), (1.0, 1.0)], "found the ratio 1:1 twice"),
    ],
)
def test_what_is_no_mixture_is_refused(sources, ratios, words):
    with pytest.raises(OptionError, match=words):
        designs("demo", sources, ratios)
