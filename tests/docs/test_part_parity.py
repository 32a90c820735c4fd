"""Every encoder, projector, generator and imported model equals its reference, and stands in the table of the documents."""

import importlib
from pathlib import Path

import pytest

from modalink.kinds import kinds

ROOT = Path(__file__).parents[2]
KINDS = sorted(f"{path.parent.name}/{path.stem}" for path in (ROOT / "docs" / "tools" / "parity").glob("*/*.py"))


@pytest.fixture
def parity(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "tools")
    return importlib.import_module("part_parity")


@pytest.mark.parametrize("kind", KINDS)
def test_it_equals_its_reference_and_the_table_says_so(parity, kind):
    page = parity.page(parity.KINDS[kind].parent.name).read_text(encoding="utf-8")
    rows = list(parity.rows(kind))
    assert rows
    for row in rows:
        assert row.difference <= row.tolerance * row.largest, f"{row.reference}: {row.difference}"
        assert f"\n{row.names}" in page, f"{row.reference}: run `make parity`"


def test_every_kind_is_compared(parity):
    assert sorted(parity.KINDS) == KINDS
    for folder, room in parity.ROOMS.items():
        own = parity.OWN.get(folder, set())
        assert {path.stem for path in (parity.FOLDER / folder).glob("*.py")} == kinds(room).keys() - own
        assert own <= kinds(room).keys()
