from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from modalink.errors import PartError
from modalink.kinds import parse
from modalink.projectors.inputs._joining import JoinSpec, join, joined_layout
from modalink.projectors.inputs._pooling import pooled, pooled_layout
from modalink.projectors.inputs.linear import LinearConfig
from modalink.projectors.inputs.mlp import MlpConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import check_input_projector

ROOM = "modalink.projectors.inputs"
WIDTHS: dict[str, Any] = {"dim_in": 8, "dim_out": 10, "example": Layout(1, (16,), (4, 4))}


def numbered(*grids: tuple[int, int]) -> Ragged:
    """Items of one number a token, counted from 0 in each."""
    layouts = [Layout(1, (rows * columns,), (rows, columns)) for rows, columns in grids]
    return Ragged.of([torch.arange(float(layout.tokens))[:, None] for layout in layouts], layouts)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "linear"},
        {"kind": "linear", "join": {"tokens": 4, "layout": "run"}},
        {"kind": "mlp"},
        {"kind": "mlp", "layers": 1},
        {"kind": "mlp", "layers": 3, "width": 7, "activation": "silu", "norm": True},
        {"kind": "mlp", "norm": True, "join": {"tokens": 4, "layout": "square"}},
        {"kind": "linear", "pool": "space_time"},
        {"kind": "mlp", "pool": "space"},
    ],
)
def test_they_keep_the_promises_of_their_role(settings: dict[str, Any]) -> None:
    check_input_projector(parse(ROOM, settings))  # type: ignore[arg-type]


def test_joining_in_a_run_and_in_squares() -> None:
    """A 2 x 4 grid `01 23 / 45 67`, one number a token."""
    tokens = numbered((2, 4))
    assert join(JoinSpec(tokens=4), tokens).values.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    square = join(JoinSpec(tokens=4, layout="square"), tokens)
    assert square.values.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert square.layouts == (Layout(1, (2,), (1, 2)),)


def test_the_tokens_of_each_frame_are_joined_by_themselves() -> None:
    """Two frames of 2 x 2 tokens, `01 / 23` and `45 / 67`."""
    frames = Layout(2, (4, 4), (2, 2), times_s=(0.0, 1.0))
    tokens = Ragged.of([torch.arange(8.0)[:, None]], [frames])
    for layout in ("run", "square"):
        joined = join(JoinSpec(tokens=4, layout=layout), tokens)
        assert joined.values.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
        assert (joined.layouts[0].blocks, joined.layouts[0].times_s) == ((1, 1), (0.0, 1.0))


def test_means_over_space_and_time() -> None:
    """Two frames of two tokens, `0 1` and `4 7`."""
    item = Layout(2, (2, 2), (1, 2), times_s=(0.0, 1.0))
    tokens = Ragged.of([torch.tensor([0.0, 1, 4, 7])[:, None]], [item])
    expected = {"space": [0.5, 5.5], "time": [2.0, 4.0], "space_time": [0.5, 5.5, 2.0, 4.0]}
    for pool, values in expected.items():
        found = pooled(pool, tokens)
        assert found.values[:, 0].tolist() == values
        assert found.layouts == (pooled_layout(pool, item),)
    assert pooled_layout("space", item) == Layout(2, (1, 1), times_s=(0.0, 1.0))
    assert pooled_layout("time", item) == Layout(2, (2,), (1, 2), times_s=(0.0,))
    assert pooled_layout("space_time", item) == Layout(2, (1, 1, 2))


def test_video_chatgpts_hundred_frames_become_its_number_of_tokens() -> None:
    """100 frames of 16 x 16 patches are 356 tokens, in section 3.1 of its paper."""
    frames = Layout(100, (256,) * 100, (16, 16))
    assert LinearConfig(pool="space_time").layout(frames).tokens == 356


def test_tiles_are_no_frames() -> None:
    with pytest.raises(PartError, match=r"pool: found tiles \(1, 2\), needed frames"):
        LinearConfig(pool="time").layout(Layout(2, (4, 4), (2, 2), tiles=(1, 2)))
    with pytest.raises(PartError, match="needed frames of as many tokens each"):
        LinearConfig(pool="space").layout(Layout(2, (4, 5)))


def test_joined_squares_stay_in_reading_order() -> None:
    assert join(JoinSpec(tokens=4, layout="square"), numbered((4, 4))).values[:, 0].tolist() == [0, 2, 8, 10]


@pytest.mark.parametrize("layout", ["run", "square"])
def test_items_of_several_grids_are_joined_each_by_itself(layout: Any) -> None:
    spec = JoinSpec(tokens=4, layout=layout)
    together = join(spec, numbered((2, 4), (4, 6), (2, 2)))
    alone = [join(spec, numbered(grid)).values for grid in ((2, 4), (4, 6), (2, 2))]
    assert together.lengths == (2, 6, 1) and torch.equal(together.values, torch.cat(alone))
    assert together.layouts == tuple(joined_layout(spec, item) for item in numbered((2, 4), (4, 6), (2, 2)).layouts)


@pytest.mark.parametrize(
    ("join", "tokens", "grid", "says"),
    [
        ({"tokens": 4}, 257, None, "found 257 tokens, needed a multiple of 4"),
        ({"tokens": 4, "layout": "square"}, 16, None, "a square needs tokens on a grid; set keep_cls: false"),
        ({"tokens": 4, "layout": "square"}, 36, (3, 12), "found a grid of 3 x 12, needed multiples of 2"),
    ],
)
def test_tokens_that_cannot_be_joined_are_refused(
    join: dict[str, Any], tokens: int, grid: tuple[int, int] | None, says: str
) -> None:
    with pytest.raises(PartError, match=says):
        LinearConfig.model_validate({"join": join}).build(dim_in=8, dim_out=8, example=Layout(1, (tokens,), grid))


def test_the_mlp_is_llavas() -> None:
    """Equal to the bit once its two maps are loaded by name."""
    reference = LlavaMultiModalProjector(
        LlavaConfig(
            vision_config=CLIPVisionConfig(hidden_size=8, num_attention_heads=1),
            text_config=LlamaConfig(hidden_size=10, num_attention_heads=1),
        )
    )
    ours = MlpConfig().build(**WIDTHS)
    renamed = {"linear_1": "layers.0", "linear_2": "layers.2"}
    state = {
        renamed[key.split(".")[0]] + "." + key.split(".")[1]: value for key, value in reference.state_dict().items()
    }
    ours.load_state_dict(state)
    features = torch.randn(3, 16, 8)
    items = Ragged(features.flatten(0, 1), (16,) * 3, (WIDTHS["example"],) * 3)
    assert torch.equal(ours(items).stack(), reference(features))


@pytest.mark.parametrize(
    ("settings", "dim_in", "dim_out", "parameters"),
    [
        ({"kind": "mlp"}, 1024, 4096, 20_979_712),
        ({"kind": "mlp"}, 1024, 5120, 31_467_520),
        ({"kind": "linear"}, 768, 4096, 3_149_824),
        ({"kind": "linear", "join": {"tokens": 4}}, 1408, 4096, 23_072_768),
    ],
    ids=["llava-1.5-7b", "llava-1.5-13b", "minigpt-4", "minigpt-v2"],
)
def test_published_sizes(settings: dict[str, Any], dim_in: int, dim_out: int, parameters: int) -> None:
    with torch.device("meta"):
        projector = parse(ROOM, settings).build(  # type: ignore[attr-defined]
            dim_in=dim_in, dim_out=dim_out, example=Layout(1, (576,), (24, 24))
        )
    assert sum(parameter.numel() for parameter in projector.parameters()) == parameters


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": 0},
        {"activation": "gelo"},
        {"join": {"tokens": 1}},
        {"depth": 2},
        {"join": {"tokens": 6, "layout": "square"}},
    ],
)
def test_meaningless_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MlpConfig.model_validate(settings)
