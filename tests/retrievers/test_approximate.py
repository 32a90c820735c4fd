"""Approximate search gives what exact search does where the graph knows its neighbours; usearch stands behind a seam."""

import sys
from typing import ClassVar

import numpy as np
import pytest
import torch

from modalink.errors import MissingExtraError
from modalink.retrievers import _vectors
from modalink.retrievers._index_writer import IndexWriter
from modalink.roles.retriever import Query
from modalink.testing import check_retriever
from tests.retrievers.conftest import Shades, flag
from tests.retrievers.test_kinds import retriever, seen, settings


class Compared:
    """A graph that knows all, and remembers how much it was asked for."""

    asked: ClassVar[list[int]] = []

    def __init__(self, index, breadth):
        self.vectors, self.breadth = index.vectors[0].numpy(), breadth

    def nearest(self, vector, count):
        self.asked.append(count)
        return np.argsort(-(self.vectors @ vector), kind="stable")[:count][::-1].copy()


@pytest.fixture
def shades(tmp_path, monkeypatch):
    """The folder of an index of 300 vectors, two of an entry, and a graph in the place of usearch's."""
    vectors = torch.nn.functional.normalize(torch.randn(300, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    made = {"kind": "encoder", "modality": "image", "pool": "max", "encoder": Shades.sha256}
    with IndexWriter(tmp_path / "shades", made) as writer:
        for number in range(150):
            writer.add(f"row {number}", str(number), [], vectors[2 * number : 2 * number + 2])
        writer.close()
    monkeypatch.setattr(_vectors, "UsearchGraph", Compared)
    Compared.asked = []
    return tmp_path / "shades"


@pytest.mark.parametrize("without", [(), {"row 3", "row 77"}, {f"row {n}" for n in range(140)}])
def test_it_finds_what_exact_search_finds(shades, without):
    exact, graph = (retriever("encoder", shades, Shades(), approximate=said) for said in (False, True))
    for colour in ("red", "lime", "gray", (200, 100, 0)):
        assert graph.search(seen(colour), 5, without) == exact.search(seen(colour), 5, without)
    assert Compared.asked[0] == 10


def test_more_is_asked_for_until_enough_is_left(shades):
    graph = retriever("encoder", shades, Shades(), approximate=True)
    near = [found.source for found in graph.search(seen("red"), 20)]
    Compared.asked.clear()
    assert len(graph.search(seen("red"), 2, set(near))) == 2
    assert Compared.asked == sorted(Compared.asked) and 4 == Compared.asked[0] < Compared.asked[-1] <= 300


def test_it_keeps_the_promises_of_its_role(index, monkeypatch):
    monkeypatch.setattr(_vectors, "UsearchGraph", Compared)
    config = settings("encoder", index, approximate=True)
    check_retriever(config, [seen("red"), seen("blue", (200, 100, 0))], Shades())


def test_without_the_package_it_says_what_to_install(index, monkeypatch):
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(MissingExtraError, match=r"needs the package 'usearch'.*modalink\[approximate\]"):
        retriever("encoder", index, Shades(), approximate=True)
    assert retriever("encoder", index, Shades()).search(Query("", (("image", flag("red")),)), 1)
