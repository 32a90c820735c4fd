from modalink import yaml_files
from modalink.errors import RecipeError
from modalink.recipe.merging import changed_leaves, merge, supersede


def read(text: str, name: str) -> yaml_files.Document:
    return yaml_files.parse(text, name, RecipeError)


BASE = "a: {x: 1, y: [1, 2]}\nprojector: {kind: mlp, layers: 2}\n"


def test_mappings_merge_and_lists_replace():
    merged = merge(read(BASE, "base.yaml"), read("a: {y: [3], z: 4}\n", "top.yaml"))
    assert merged.data["a"] == {"x": 1, "y": [3], "z": 4}
    assert merged.place(("a", "x")) == "base.yaml, line 1"
    assert merged.place(("a", "y", 0)) == "top.yaml, line 1"
    assert ("a", "y", 1) not in merged.places


def test_settings_of_another_kind_do_not_leak():
    base = read(BASE, "base.yaml")
    assert merge(base, read("projector: {kind: linear}", "top.yaml")).data["projector"] == {"kind": "linear"}
    assert merge(base, read("projector: {kind: mlp}", "top.yaml")).data["projector"] == {"kind": "mlp", "layers": 2}
    assert merge(base, read("projector: {layers: 3}", "top.yaml")).data["projector"] == {"kind": "mlp", "layers": 3}


def test_changed_leaves_are_what_got_a_new_value():
    base = {"a": {"x": 1, "y": [1, 2]}, "projector": {"kind": "mlp", "layers": 2}}
    assert changed_leaves(base, {"a": {"x": 1, "y": [1]}, "b": 5}) == ["a.y", "b"]
    assert changed_leaves(base, {"projector": {"kind": "linear"}}) == ["projector"]


def test_provenance_of_changed_values_goes():
    before = {"a": "published", "a.x": "code", "b.c.d": "recalled", "bb": "code"}
    assert supersede(before, ["b.c"], "assumed: mine") == {"a": "published", "a.x": "code", "bb": "code"}
    assert supersede(before, ["a.y"], "assumed: mine") == {**before, "a.y": "assumed: mine"}
