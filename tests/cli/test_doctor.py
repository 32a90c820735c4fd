import json


def test_a_good_recipe_ends_with_0(modalink, recipe):
    result = modalink("doctor", recipe)
    assert result.exit_code == 0, result.output
    assert "ok       batch pretrain\n" in result.output


def test_a_bad_one_ends_with_1(modalink, recipe):
    result = modalink("doctor", recipe, "stages.0.data=[{source: pairs, path: nowhere}]", "--json")
    assert result.exit_code == 1
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["topic"], last["status"]) == ("data pretrain", "failed")
