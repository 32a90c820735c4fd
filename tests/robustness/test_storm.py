"""A few gusts of the storm; `make storm` blows longer."""

import sys

import pytest

from tests.robustness import storm


def test_runs_that_are_killed_at_random_places_end_like_the_unbroken_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["storm.py", "--kills", "4", "--seed", "3"])
    code = storm.main()
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "4 kills: equal" in said.out
