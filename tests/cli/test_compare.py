import json

import pytest

from modalink.comparison.design import Comparison


@pytest.fixture
def other(recipe):
    file = recipe.with_name("other.yaml")
    file.write_text("extends: see.yaml\nname: other\ninputs: {image: {projector: {kind: mlp}}}\n")
    return file


def test_two_recipes_become_a_table_and_json(modalink, recipe, other, tmp_path):
    out = tmp_path / "out"
    command = ["compare", recipe, other, "--data", "tiny_world", "--steps", 2, "--batch", 2, "--limit", 9, "--out", out]
    result = modalink(*command)
    assert result.exit_code == 0, result.stderr
    assert "1 of 2: see, seed 0: accuracy " in result.output and "not told" in result.output
    assert result.output.rstrip().endswith(f"result {out / 'comparison.md'}\nnumbers {out / 'comparison.json'}")
    again = modalink(*command, "--json")
    found = json.loads(again.stdout)
    assert found == json.loads((out / "comparison.json").read_text())
    assert [row["name"] for row in found["designs"]] == ["see", "other"]
    assert Comparison.model_validate(found["comparison"]).steps == 2
    page = (out / "comparison.md").read_text()
    assert page.startswith("# comparison\n") and "](comparison.svg)" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo"], "found 1 recipes, needed two at least, or --study"),
        (["demo", "demo-all"], "found no --data, needed --data tiny_world, for example"),
        (["demo", "demo", "--data", "tiny_world", "--steps", 2], "found two designs with the name 'demo'"),
        (["demo", "demo-all", "--data", "tiny_world"], "found steps None and seconds None, needed exactly one"),
        (["demo", "demo-all", "--data", "tiny_world", "--budget", "soon"], "--budget: found 'soon', needed a time"),
        (["demo", "demo-all", "--data", "mix.json", "--steps", 2], "--data: found 'mix.json', needed tiny_world, or a"),
        (["demo", "nodemo", "--data", "tiny_world", "--steps", 2], "unknown recipe 'nodemo'; did you mean 'demo'?"),
        (
            ["demo", "demo-all", "--data", "tiny_world", "--steps", 2, "--seeds", "a"],
            "--seeds: found 'a', needed numbers",
        ),
        (
            ["demo", "demo-all", "--data", "tiny_world", "--steps", 2, "--lr", "-1"],
            "--lr: found '-1', needed one or two",
        ),
        (
            ["demo", "demo-all", "--data", "{source: text, path: x}", "--steps", 2],
            "--benchmark NAME, see `modalink score",
        ),
        (["demo", "--study", "tiny"], "--study brings its designs"),
        (["--study", "nothing"], "unknown study 'nothing'"),
    ],
)
def test_wrong_use_is_refused_in_words(modalink, tmp_path, arguments, words):
    result = modalink("compare", *arguments, "--out", tmp_path / "out")
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "out").exists()


def test_designs_that_do_not_read_the_data_are_named(modalink, tmp_path, recipe, other):
    data = "{source: tiny_world, shows: [audio], tasks: [vqa]}"
    result = modalink("compare", recipe, other, "--data", data, "--steps", 2, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "design see: it reads image, and the data or questions show audio; leave it out" in result.stderr
