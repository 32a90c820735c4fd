"""Of a checkpoint in several files, only those are fetched and hashed that hold what is taken."""

import fnmatch
import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from modalink import hub
from modalink.errors import PartError
from modalink.hub import files
from modalink.kinds import parse
from modalink.ragged import Layout

COMMIT = "c" * 40
SHARDS = {
    "model-00001-of-00003.safetensors": {"model.embed_tokens.weight": torch.zeros(5, 3)},
    "model-00002-of-00003.safetensors": {"model.layers.0.weight": torch.ones(4)},
    "model-00003-of-00003.safetensors": {
        f"model.mm_projector.{number}.{kind}": torch.randn(16, *[12 if not number else 16] * (kind == "weight"))
        for number in (0, 2)
        for kind in ("weight", "bias")
    },
}
HOLDS = "model-00003-of-00003.safetensors"


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A hub with one repository, and the list of what was fetched of it."""
    (tmp_path / "hub").mkdir()
    places = {name: file for file, tensors in SHARDS.items() for name in tensors}
    (tmp_path / "hub/model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (tmp_path / "hub/config.json").write_text('{"model_type": "llava_llama"}')
    for file, tensors in SHARDS.items():
        save_file(tensors, tmp_path / "hub" / file)
    fetched = []

    def snapshot(repo, revision=None, allow_patterns=(), **_):
        assert repo == "me/llava" and revision in (None, "main", COMMIT)
        cache = tmp_path / "snapshots" / COMMIT
        cache.mkdir(parents=True, exist_ok=True)
        for file in sorted((tmp_path / "hub").iterdir()):
            if any(fnmatch.fnmatch(file.name, pattern) for pattern in allow_patterns):
                shutil.copyfile(file, cache / file.name)
                fetched.append(file.name)
        return str(cache)

    monkeypatch.setattr(files, "snapshot_download", snapshot)
    for cached in (files._snapshot, files._pieces):
        cached.cache_clear()
    yield fetched
    for cached in (files._snapshot, files._pieces):
        cached.cache_clear()


def test_a_projector_fetches_its_own_file_alone(remote):
    config = parse("modalink.projectors.inputs", {"kind": "mlp", "checkpoint": "me/llava"})
    projector = config.build(dim_in=12, dim_out=16, example=Layout(1, (9,)))
    config.borrow(projector, config.borrowed())
    assert torch.equal(projector.layers[2].weight, SHARDS[HOLDS]["model.mm_projector.2.weight"])
    found = hub.identity_of(config)
    assert found.revision == COMMIT
    assert {name for name in remote if name.endswith(".safetensors")} == {HOLDS}


def test_a_folder_has_the_same_identity_as_the_hub(remote, tmp_path):
    theirs = hub.identity_of(parse("modalink.projectors.inputs", {"kind": "mlp", "checkpoint": "me/llava"}))
    ours = hub.identity_of(parse("modalink.projectors.inputs", {"kind": "mlp", "checkpoint": str(tmp_path / "hub")}))
    assert ours.sha256 == theirs.sha256
    assert hub.identity(str(tmp_path / "hub")).sha256 != ours.sha256  # that of all of it
    save_file({"model.layers.0.weight": torch.zeros(4)}, tmp_path / "hub/model-00002-of-00003.safetensors")
    again = hub.identity_of(parse("modalink.projectors.inputs", {"kind": "mlp", "checkpoint": str(tmp_path / "hub")}))
    assert again.sha256 == ours.sha256


def test_an_index_that_leads_out_is_refused(remote, tmp_path):
    places = {"mm_projector.0.weight": "../elsewhere.safetensors"}
    (tmp_path / "hub/model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    with pytest.raises(PartError, match="needed the name of a file in it"):
        hub.tensors(str(tmp_path / "hub"), names={"mm_projector": "x"})


def test_what_no_file_holds_is_fetched_not_at_all(remote):
    assert hub.tensors("me/llava", names={r"perceiver\.": "x."}) == {}
    assert not [name for name in remote if name.endswith(".safetensors")]
