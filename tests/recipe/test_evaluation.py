"""What a stage may be evaluated by, and what is said of the rest."""

from typing import Any

import pytest

from modalink.errors import ModalinkError
from modalink.recipe import Recipe, load

DATA = [{"source": "tiny_world", "split": "validation", "count": 8, "tasks": ["caption"]}]


def _evaluated(see: Any, **evaluate: Any) -> Recipe:
    recipe = load(see)
    stage = recipe.to_dict()["stages"][0] | {"evaluate": {"every": 5, **evaluate}}
    return Recipe.model_validate(recipe.to_dict() | {"stages": [stage]})


def test_names_of_benchmarks_are_found_and_the_whole_reads_back(see, tmp_path):
    best = {"metric": "tiny_world.questions", "mode": "max"}
    recipe = _evaluated(see, data=DATA, benchmarks=[{"name": "Tiny-World", "limit": 3}], keep_best=best)
    assert recipe.stages[0].evaluate.benchmarks[0].name == "tiny_world"
    (tmp_path / "resolved.yaml").write_text(recipe.to_yaml())
    assert load(tmp_path / "resolved.yaml") == recipe
    tiny = load(tmp_path / "resolved.yaml", tiny=True).stages[0].evaluate
    assert (tiny.every, tiny.benchmarks, tiny.keep_best, tiny.data[0].split) == (5, [], None, "validation")


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (
            {"benchmarks": [{"name": "popee"}]},
            r"evaluate\.benchmarks\.0\.name.*unknown benchmark 'popee'; did you mean",
        ),
        ({"data": DATA, "every": 0}, r"evaluate\.every.*greater than"),
        ({}, "found neither data nor benchmarks, needed at least one"),
        ({"benchmarks": [{"name": "pope"}, {"name": "POPE"}]}, "found the benchmark pope twice"),
        (
            {"data": [DATA[0] | {"weight": 2.0}]},
            r"evaluate\.data\.0\.weight: an evaluation mixes its data by their sizes",
        ),
        (
            {"benchmarks": [{"name": "pope"}], "keep_best": {"metric": "loss", "mode": "min"}},
            r"metric: nothing here gives 'loss'; this evaluation gives a number of pope such as pope\.score",
        ),
        (
            {"data": DATA, "keep_best": {"metric": "losses.align", "mode": "min"}},
            r"nothing here gives 'losses\.align'; this evaluation gives loss, losses\.language",
        ),
        ({"data": DATA, "keep_best": {"metric": "loss", "mode": "least"}}, r"keep_best\.mode"),
    ],
)
def test_what_cannot_be_is_told(see, evaluate, message):
    with pytest.raises((ModalinkError, ValueError), match=f"(?s){message}"):
        _evaluated(see, **evaluate)
