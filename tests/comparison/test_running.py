"""A comparison from its recipes to its pages."""

import json

import pytest
from safetensors.torch import load_file

from modalink import tensor_files
from modalink.comparison import OnRun, compare, write_pages
from modalink.comparison.measuring import MEASURED
from modalink.errors import CheckpointError, OptionError
from modalink.runs.facts import read_run
from modalink.settings import RunSettings
from modalink.training.events import StepDone

SETTINGS = RunSettings(device="cpu", workers=0)


class _Killed(Exception):
    pass


def _weights(out, design):
    return tensor_files.digest(load_file(out / "runs" / design / "seed-0" / "model" / "model.safetensors"))


def test_a_comparison_that_is_killed_ends_like_the_unbroken_one(make_comparison, tmp_path):
    comparison = make_comparison()
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = compare(comparison, whole, settings=SETTINGS)

    def kill(design, seed, event):
        if design == "mlp" and isinstance(event, StepDone) and event.stage == "stage-2":
            raise _Killed

    with pytest.raises(_Killed):
        compare(comparison, broken, settings=SETTINGS, on_run=OnRun(event=kill))
    assert (broken / "runs" / "linear" / "seed-0" / MEASURED).is_file()
    assert not (broken / "runs" / "mlp" / "seed-0" / "model").exists()
    began = []
    found = compare(
        comparison, broken, settings=SETTINGS, on_run=OnRun(event=lambda design, seed, event: began.append(design))
    )
    assert [(row.name, row.reached, row.steps) for row in found.rows] == [
        (row.name, row.reached, row.steps) for row in expected.rows
    ]
    assert found.pairs == expected.pairs
    for design in ("linear", "mlp"):
        assert _weights(broken, design) == _weights(whole, design)
    _check_numbers(whole, expected)
    _check_pages(whole, expected)


def _check_numbers(out, results):
    """What the tables say is what the runs' folders hold."""
    linear, mlp = results.rows
    assert linear.steps == mlp.steps == [3, 2] and linear.samples == mlp.samples == 10
    assert linear.tokens_per_item == mlp.tokens_per_item == 64
    facts = read_run(out / "runs" / "mlp" / "seed-0")
    assert mlp.trainable_parameters == facts.trainable_parameters > linear.trainable_parameters
    assert mlp.trainable_share == facts.trainable_parameters / facts.parameters
    assert mlp.training_seconds == facts.training_seconds > 0
    scores = facts.results["accuracy"]
    assert 100 * mlp.reached["accuracy"].value == pytest.approx(scores["score"])
    (pair,) = results.pairs
    kept = [
        json.loads((out / "runs" / d / "seed-0" / MEASURED).read_text())["scores"]["accuracy"]
        for d in ("linear", "mlp")
    ]
    assert all(len(row) == 18 for row in kept)
    only = [sum(a > b for a, b in zip(x, y, strict=True)) for x, y in (kept, kept[::-1])]
    assert pair.difference.value == pytest.approx((only[0] - only[1]) / 18)
    assert pair.corrected_p == pair.difference.p_value and pair.difference.test == "mcnemar"


def _check_pages(out, results):
    page = write_pages(results, out).read_text()
    assert "Each design: 5 steps of 2 conversations, seed 0, learning rates of their own." in page
    assert "| linear − mlp |" in page and "McNemar's exact test" in page
    plot = (out / "comparison.svg").read_text()
    assert plot.count('class="mean"') == 2 and plot.count('class="seed"') == 0
    plain = json.loads((out / "comparison.json").read_text())
    assert [row["name"] for row in plain["designs"]] == ["linear", "mlp"]
    assert plain["pairs"][0]["difference"]["by_seed"] == list(results.pairs[0].difference.by_seed)


def test_a_budget_in_time_is_measured_once(make_comparison, tmp_path):
    comparison = make_comparison(steps=None, seconds=1e-6)
    out = tmp_path / "out"
    with pytest.raises(OptionError, match="design linear: found a budget of 5e-07 s a stage, and a step takes"):
        compare(comparison, out, settings=SETTINGS)
    timed = json.loads((out / "pace" / "linear.json").read_text())
    assert len(timed) == 2 and min(timed) > 0 and not (out / "pace" / "linear").exists()
    (out / "pace" / "linear.json").write_text("[0.5, 0.25]")
    (out / "pace" / "mlp.json").write_text("[1.0, 0.5]")
    (out / "comparison.yaml").write_text((out / "comparison.yaml").read_text().replace("1.0e-06", "2.0"))
    found = compare(make_comparison(steps=None, seconds=2.0), out, settings=SETTINGS)
    assert [row.steps for row in found.rows] == [[2, 4], [1, 2]]


def test_a_folder_with_something_else_is_refused(make_comparison, tmp_path):
    out = tmp_path / "out"
    compare(make_comparison(steps=2), out, settings=SETTINGS)
    with pytest.raises(CheckpointError, match=r"holds another comparison; they differ in\n  steps: there 2, now 9"):
        compare(make_comparison(steps=9), out, settings=SETTINGS)
    with pytest.raises(CheckpointError, match="found a folder with other files, needed an empty folder"):
        compare(make_comparison(), tmp_path, settings=SETTINGS)
    with pytest.raises(OptionError, match="design linear: found a budget of 1 steps for 2 stages"):
        compare(make_comparison(steps=1), tmp_path / "new", settings=SETTINGS)


def test_tokens_of_a_medium_are_told_though_the_first_questions_show_none(make_comparison, tmp_path):
    in_words = {"name": "tiny_world", "options": {"count": 18, "shown": "words"}}
    shown = {"name": "tiny_world", "options": {"count": 18}}
    found = compare(
        make_comparison(benchmarks={"words": in_words, "shown": shown}), tmp_path / "out", settings=SETTINGS
    )
    assert [row.tokens_per_item for row in found.rows] == [64, 64]
