"""`modalink data mix`: runs of several ratios, their table, and what is refused."""

import json

import pytest
from typer.testing import CliRunner

from modalink.cli.main import app

CAPTIONS, QUESTIONS = "{source: tiny_world, tasks: [caption]}", "{source: tiny_world, tasks: [vqa], seed: 1}"


@pytest.fixture
def mix(tmp_path):
    """Run the command; its result."""
    words = ["data", "mix", "llava-1.5", "--tiny", "--data", CAPTIONS, "--data", QUESTIONS]
    words += ["--steps", "2", "--batch", "2", "--limit", "9", "--out", str(tmp_path / "out")]
    return lambda *more: CliRunner().invoke(app, [*words, *more])


def test_ratios_are_trained_and_told_apart_and_resumed(mix, tmp_path):
    ratios = ("--ratio", "1:0", "--ratio", "1:3")
    found = json.loads(mix(*ratios, "--json").stdout)
    assert [row["name"] for row in found["designs"]] == ["mix-1-0", "mix-1-3"]
    recipe = (tmp_path / "out" / "runs" / "mix-1-3" / "seed-0" / "recipe.yaml").read_text()
    assert "mixture: ratio" in recipe and "weight: 3.0" in recipe
    again = mix(*ratios)
    assert again.exit_code == 0 and "mix-1-3" in again.stdout and "result" in again.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--ratio", "1:x", "--ratio", "1:1"), "--ratio: found '1:x', needed numbers with colons between them"),
        (("--ratio", "1:inf", "--ratio", "1:1"), "--ratio: found '1:inf'"),
        (("--ratio", "1", "--ratio", "1:1"), "found the ratio 1 of 2 sources, needed as many shares"),
        (("--budget", "soon"), "--budget: found 'soon'"),
    ],
)
def test_what_is_no_ratio_is_refused_in_words(mix, words, told):
    result = mix(*words)
    assert result.exit_code == 2 and told in result.stderr and "Traceback" not in result.stderr
