"""Projectors out of checkpoints: under whose names, what is refused, what is saved.

That an original's tensors make its numbers here is held by `docs/tools/parity/projectors/`.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from modalink.errors import PartError
from modalink.kinds import parse
from modalink.model import System, compose
from modalink.ragged import Layout, Ragged
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama

ROOM = "modalink.projectors.inputs"
WIDTHS: dict[str, Any] = {"dim_in": 12, "dim_out": 16, "example": Layout(1, (16,), (4, 4))}
KINDS: dict[str, dict[str, Any]] = {
    "linear": {"newline": "item", "start": True},
    "mlp": {"norm": True},
    "gated_mlp": {"feed_forward": 8, "positions": {"most": 2}},
    "perceiver": {"layers": 1, "width": 8, "heads": 2, "head_width": 4, "positions": {"most": 2}},
    "abstractor": {"layers": 1, "width": 8, "heads": 2, "feed_forward": 8},
    "cross_attention": {"side": 2, "heads": 2},
    "grouping": {"width": 16, "feed_forward": 8, "depths": (1, 1), "groups": (2,)},
}
LLAVA = {"0.weight": (16, 12), "0.bias": (16,), "2.weight": (16, 16), "2.bias": (16,)}


def llava(prefix: str = "model.mm_projector.", **more: Tensor) -> dict[str, Tensor]:
    return {prefix + name: torch.randn(shape) for name, shape in LLAVA.items()} | more


def borrowed(settings: dict[str, Any], held: dict[str, Tensor], folder: Path) -> Any:
    """A projector with the weights of a safetensors file that holds these."""
    save_file(held, folder / "model.safetensors")
    config: Any = parse(ROOM, {**settings, "checkpoint": str(folder)})
    projector = config.build(**WIDTHS)
    config.borrow(projector, config.borrowed())
    return projector


@pytest.mark.parametrize("kind", KINDS)
def test_sections_are_what_a_projector_is_made_of(kind: str) -> None:
    config: Any = parse(ROOM, {"kind": kind, **KINDS[kind]})
    parameters = {name.partition(".")[0] for name, _ in config.build(**WIDTHS).named_parameters()}
    assert parameters == {*config.sections()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_tiny_form_comes_from_no_checkpoint(kind: str) -> None:
    config: Any = parse(ROOM, {"kind": kind, **KINDS[kind], "checkpoint": "someone/something", "revision": "main"})
    assert config.checkpoints() == (("someone/something", "main"),) and config.borrowed()
    assert config.tiny().checkpoints() == () and not config.tiny().borrowed()


@pytest.mark.parametrize("prefix", ["model.mm_projector.", "mm_projector.", "mm_projector.layers."])
def test_llavas_and_vilas_names(prefix: str, tmp_path: Path) -> None:
    held = llava(prefix, **{"model.embed_tokens.weight": torch.zeros(3)})
    projector = borrowed({"kind": "mlp"}, held, tmp_path)
    assert all(torch.equal(projector.layers.get_parameter(name), held[prefix + name]) for name in LLAVA)


def test_what_a_trainer_keeps_beside_the_weights(tmp_path: Path) -> None:
    """As MiniGPT-4's files and Video-LLaMA's, whose two projectors have names of one form."""
    held = {f"{name}llama_proj.{kind}": torch.randn(16, *[12] * (kind == "weight"))
            for name in ("", "audio_") for kind in ("weight", "bias")}  # fmt: skip
    torch.save({"model": held, "optimizer": {"step": 3}, "epoch": 1}, tmp_path / "checkpoint.pth")
    for prefix, name in ((None, ""), ("audio_llama_proj.", "audio_")):
        config: Any = parse(ROOM, {"kind": "linear", "checkpoint": str(tmp_path), "prefix": prefix})
        projector = config.build(**WIDTHS)
        config.borrow(projector, config.borrowed())
        assert torch.equal(projector.linear.weight, held[f"{name}llama_proj.weight"])


def test_a_learned_newline_and_half_precision(tmp_path: Path) -> None:
    held = llava("multi_modal_projector.", image_newline=torch.randn(16))
    held = {name.replace("0.", "linear_1.").replace("2.", "linear_2."): t.bfloat16() for name, t in held.items()}
    projector = borrowed({"kind": "mlp", "newline": "row"}, held, tmp_path)
    assert projector.newlines.token.dtype == torch.float32
    assert torch.equal(projector.newlines.token, held["image_newline"].float())
    with pytest.raises(PartError, match=r"holds tensors that are not here|has not|newlines.token"):
        borrowed({"kind": "mlp"}, held, tmp_path)
    assert borrowed({"kind": "mlp", "without": ["newlines"]}, held, tmp_path).newlines is None


def test_sections_may_be_left_to_be_drawn(tmp_path: Path) -> None:
    """The map to the LLM's width, for another LLM than the checkpoint's."""
    settings = {"kind": "abstractor", **KINDS["abstractor"], "width": 12}
    names = json.loads((Path(__file__).parents[3] / "docs/tools/parity/projectors/abstractor.json").read_text())
    kept = {name: shape for name, shape in names["tensors"].items() if "layers.1" not in name}
    shapes = {name: [{16: 12, 24: 8, 20: 18, 6: 64}.get(n, n) for n in shape] for name, shape in kept.items()}
    held = {name: torch.randn(shape) for name, shape in shapes.items()}
    with pytest.raises(PartError, match=r"end has the shape \(1, 1, 18\), needed \(16,\)"):
        borrowed(settings, held, tmp_path)
    projector = borrowed({**settings, "without": ["exit", "end"]}, held, tmp_path)
    assert torch.equal(projector.queries, held["query_tokens"][0]) and projector.exit.out_features == 16


@pytest.mark.parametrize(
    ("settings", "held", "says"),
    [
        ({"kind": "mlp"}, {"lm_head.weight": torch.zeros(2)}, "found no tensors of a projector of kind mlp, needed"),
        (
            {"kind": "mlp", "prefix": "x."},
            llava(),
            r"needed names as x\.\.\.\.; give another checkpoint, or set prefix",
        ),
        ({"kind": "mlp", "layers": 3}, llava(), "lacks parameters that are needed: layers.4.bias, layers.4.weight"),
        ({"kind": "mlp", "layers": 1}, llava(), "holds tensors that are not here: layers.2.bias, layers.2.weight"),
        ({"kind": "mlp", "width": 20}, llava(), r"layers.0.weight has the shape \(16, 12\), needed \(20, 12\)"),
        ({"kind": "mlp"}, llava(**{"model.mm_projector.0.bias": torch.full((16,), torch.nan)}), "no finite numbers"),
    ],
)
def test_what_does_not_fit_is_refused(
    settings: dict[str, Any], held: dict[str, Tensor], says: str, tmp_path: Path
) -> None:
    with pytest.raises(PartError, match=says):
        borrowed(settings, held, tmp_path)


def test_settings_that_no_shape_tells_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    held = llava("multi_modal_projector.")
    held = {name.replace("0.", "linear_1.").replace("2.", "linear_2."): tensor for name, tensor in held.items()}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava", "projector_hidden_act": "relu"}))
    with pytest.raises(PartError, match="was trained with activation relu, found gelu; set activation: relu"):
        borrowed({"kind": "mlp"}, held, tmp_path)
    borrowed({"kind": "mlp", "activation": "relu"}, held, tmp_path)
    held = {"perceiver.latents": torch.zeros(64, 12)}
    with pytest.raises(PartError, match="was trained with activation gelu, found relu"):
        borrowed({"kind": "perceiver", "activation": "relu"}, held, tmp_path)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"without": ["layers"]}, "without is said of no checkpoint; set checkpoint"),
        ({"revision": "main"}, "revision is said of no checkpoint"),
        (
            {"checkpoint": "a/b", "without": ["exit"]},
            "found without: exit, which no checkpoint holds; those held: layers",
        ),
    ],
)
def test_meaningless_settings_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        parse(ROOM, {"kind": "mlp", **settings})


def test_a_projector_that_nothing_trained_is_saved_by_reference(tmp_path: Path) -> None:
    (tmp_path / "llava").mkdir()
    held = {
        f"model.mm_projector.{name}": torch.randn([32 if n < 17 else n for n in shape]) for name, shape in LLAVA.items()
    }
    torch.save(held, tmp_path / "llava/mm_projector.bin")
    encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(tmp_path / "vision"))}
    spec = SystemSpec.model_validate(
        {
            "inputs": {
                "image": {"encoder": encoder, "projector": {"kind": "mlp", "checkpoint": str(tmp_path / "llava")}}
            },
            "llm": {"checkpoint": str(tiny_llama(tmp_path / "llm"))},
            "prompt": {"template": "vicuna-v1.1"},
        }
    )
    system = compose(spec)
    layers = system.model.model.input_projectors["image"].layers
    assert torch.equal(layers[2].weight, held["model.mm_projector.2.weight"])
    system.model.requires_grad_(False)
    system.save(tmp_path / "saved")
    references = json.loads((tmp_path / "saved/config.json").read_text())["references"]
    assert {"inputs.image.projector.layers", "llm"} < references.keys()
    assert not (tmp_path / "saved/model.safetensors").exists()
    loaded, state = System.load(tmp_path / "saved"), system.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.model.state_dict().items())


def test_vilas_downsampling_comes_with_its_order(tmp_path: Path) -> None:
    """Of 4 x 4 tokens VILA joins squares, and lays them column by column."""
    held = {
        "mm_projector.layers.1.weight": torch.randn(48),
        "mm_projector.layers.1.bias": torch.randn(48),
        "mm_projector.layers.2.weight": torch.randn(16, 48),
        "mm_projector.layers.2.bias": torch.randn(16),
        "mm_projector.layers.4.weight": torch.randn(16, 16),
        "mm_projector.layers.4.bias": torch.randn(16),
    }
    join = {"tokens": 4, "layout": "square", "pad": True, "columns": True}
    projector = borrowed({"kind": "mlp", "norm": True, "join": join}, held, tmp_path)
    theirs = torch.nn.Sequential(
        torch.nn.LayerNorm(48), torch.nn.Linear(48, 16), torch.nn.GELU(), torch.nn.Linear(16, 16)
    )
    names = {"0": "1", "1": "2", "3": "4"}
    theirs.load_state_dict({f"{own}.{k}": held[f"mm_projector.layers.{n}.{k}"]
                            for own, n in names.items() for k in ("weight", "bias")})  # fmt: skip
    item = Layout(1, (12,), (4, 3))
    tokens = torch.randn(12, 12)
    grid = torch.cat([tokens.view(4, 3, 12), torch.zeros(4, 1, 12)], dim=1)  # an odd side is filled up
    squares = [grid[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] for column in (0, 1) for row in (0, 1)]
    found = projector(Ragged.of([tokens], [item]))
    assert torch.allclose(found.values, theirs(torch.stack([square.flatten() for square in squares])), atol=1e-6)
    assert found.layouts == (Layout(1, (4,), (2, 2)),)
    with pytest.raises(PartError, match=r"was trained with join .*columns=True.*, found .*columns=False"):
        borrowed({"kind": "mlp", "norm": True, "join": join | {"columns": False}}, held, tmp_path)
    lone = {f"layers.{kind}": torch.randn(16, *[12] * (kind == "weight")) for kind in ("weight", "bias")}
    linear = borrowed({"kind": "linear", "prefix": "layers."}, lone, tmp_path)
    assert torch.equal(linear.linear.weight, lone["layers.weight"])


@pytest.mark.parametrize("name", ["video_frame_position_embedding.weight", "audio_position_embedding.weight"])
def test_video_llamas_positions_stand_between_two_projectors(name: str, tmp_path: Path) -> None:
    for folder in ("whole", "video-llama"):
        (tmp_path / folder).mkdir()
    map_held = {f"llama_proj.{kind}": torch.randn(16, *[8] * (kind == "weight")) for kind in ("weight", "bias")}
    save_file(map_held, tmp_path / "whole/model.safetensors")
    table = torch.randn(3, 8)
    torch.save({"model": {name: table, "video_query_tokens": torch.zeros(2)}}, tmp_path / "video-llama/all.pth")
    settings = {"kind": "blockwise", "checkpoint": str(tmp_path / "video-llama"), "positions": {"most": 3}, "width": 8}
    settings |= {"each": {"kind": "linear"}, "whole": {"kind": "linear", "checkpoint": str(tmp_path / "whole")}}
    config: Any = parse(ROOM, settings)
    assert {*config.borrowed()} == {"positions", "whole.linear"}
    projector = config.build(**WIDTHS)
    config.borrow(projector, config.borrowed())
    assert torch.equal(projector.positions.table.weight, table)
    assert torch.equal(projector.whole.linear.weight, map_held["llama_proj.weight"])
    assert not config.tiny().borrowed()
    short: Any = parse(ROOM, settings | {"positions": {"most": 2}})
    with pytest.raises(PartError, match=r"positions.table.weight has the shape \(3, 8\), needed \(2, 8\)"):
        short.borrow(short.build(**WIDTHS), ["positions"])
    with pytest.raises(PartError, match="its checkpoint is that of learned positions, and it has none"):
        parse(ROOM, settings | {"positions": None}).build(**WIDTHS)  # type: ignore[attr-defined]
