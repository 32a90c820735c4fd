from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaNextConfig, LlavaNextVideoConfig
from transformers.models.internvl.modeling_internvl import InternVLModel
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector
from transformers.models.llava_next.modeling_llava_next import LlavaNextModel
from transformers.models.llava_next_video.modeling_llava_next_video import LlavaNextVideoPooler
from transformers.models.perception_lm.modeling_perception_lm import PerceptionLMAdaptiveAvgPooling

from modalink.encoders.tiles import MergingEncoder
from modalink.errors import PartError
from modalink.kinds import parse
from modalink.projectors.inputs._joining import JoinSpec, join, joined_layout
from modalink.projectors.inputs._newlines import Newlines, broken_layout
from modalink.projectors.inputs._pooling import GridPool, pooled, pooled_layout
from modalink.projectors.inputs._positions import Positions, PositionsSpec, sinusoids
from modalink.projectors.inputs._shrinking import ShrinkSpec, shrunk, shrunk_layout
from modalink.projectors.inputs.linear import LinearConfig
from modalink.projectors.inputs.mlp import MlpConfig
from modalink.ragged import Layout, Ragged
from modalink.roles import BlockEncoder
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
        {"kind": "mlp", "norm_inside": True},
        {"kind": "linear", "pool": "space_time"},
        {"kind": "mlp", "pool": "space"},
        {"kind": "linear", "pool": {"by": 2}, "newline": "row"},
        {"kind": "mlp", "pool": {"grid": [2, 3]}, "join": {"tokens": 3}},
        {"kind": "linear", "join": {"tokens": 9, "layout": "square", "pad": True}, "newline": "row"},
        {"kind": "mlp", "positions": {"most": 2}, "newline": "block"},
        {"kind": "linear", "positions": {"form": "sinusoidal"}, "newline": "item"},
        {"kind": "mlp", "shrink": {"tiles": 8, "frames": 2}, "newline": "tile_row"},
        {"kind": "blockwise", "each": {"kind": "linear"}, "width": 6},
        {"kind": "blockwise", "each": {"kind": "mlp"}, "whole": {"kind": "mlp", "pool": "space"}, "width": 6},
        {"kind": "blockwise", "each": {"kind": "linear"}, "whole": {"kind": "linear"}, "positions": {"most": 2}},
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


def test_an_odd_grid_is_filled_with_zeros_where_that_is_said() -> None:
    """A 3 x 3 grid `123 / 456 / 789` in squares, and in runs of 4."""
    tokens = Ragged.of([torch.arange(1.0, 10)[:, None]], [Layout(1, (9,), (3, 3))])
    square = join(JoinSpec(tokens=4, layout="square", pad=True), tokens)
    assert square.values.tolist() == [[1, 2, 4, 5], [3, 0, 6, 0], [7, 8, 0, 0], [9, 0, 0, 0]]
    assert square.layouts == (Layout(1, (4,), (2, 2)),)
    run = join(JoinSpec(tokens=4, pad=True), tokens)
    assert run.values.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 0, 0, 0]]


def test_blocks_of_several_grids_are_joined_each_by_itself() -> None:
    """A thumbnail of 2 x 2 tokens and merged tiles of 2 x 4."""
    item = Layout(3, (4, 8), grids=((2, 2), (2, 4)), tiles=(1, 1))
    tokens = Ragged.of([torch.arange(12.0)[:, None]], [item])
    square = join(JoinSpec(tokens=4, layout="square"), tokens)
    assert square.values.tolist() == [[0, 1, 2, 3], [4, 5, 8, 9], [6, 7, 10, 11]]
    assert square.layouts[0] == Layout(3, (1, 2), grids=((1, 1), (1, 2)), tiles=(1, 1))
    run = join(JoinSpec(tokens=2), tokens)
    assert run.layouts[0].grids == ((2, 1), (2, 2)) and run.values.tolist()[2] == [4, 5]


def test_squares_are_internvls_pixel_shuffle_and_qwen2_vls_merging() -> None:
    """The same channels in the same order: InternVL's shuffle of a map; Qwen2-VL has each square's patches in a row."""
    features = torch.randn(4 * 6, 3)
    tokens = Ragged.of([features], [Layout(1, (24,), (4, 6))])
    ours = join(JoinSpec(tokens=4, layout="square"), tokens).values
    shuffled = InternVLModel.pixel_shuffle(None, features.view(1, 4, 6, 3))  # type: ignore[arg-type]
    assert torch.equal(ours, shuffled.reshape(6, 12))
    order = torch.arange(24).view(2, 2, 3, 2).transpose(1, 2).flatten()
    assert torch.equal(ours, features[order].view(6, 12))


def test_rows_end_with_a_newline_and_the_thumbnail_has_none() -> None:
    """A thumbnail of 1 x 2 tokens, `12`, and merged tiles of 2 x 3, `345 / 678`; the newline is 0."""
    item = Layout(3, (2, 6), grids=((1, 2), (2, 3)), tiles=(1, 1))
    tokens = Ragged.of([torch.arange(1.0, 9)[:, None]] * 2, [item] * 2)
    expected = {
        "row": [1, 2, 3, 4, 5, 0, 6, 7, 8, 0],
        "block": [1, 2, 0, 3, 4, 5, 6, 7, 8, 0],
        "item": [1, 2, 3, 4, 5, 6, 7, 8, 0],
        "tile_row": [1, 2, 3, 4, 5, 0, 6, 7, 8, 0],
    }
    for newline, values in expected.items():
        newlines = Newlines(newline, 1)
        torch.nn.init.zeros_(newlines.token)
        found = newlines(tokens)
        assert found.values[:, 0].tolist() == values * 2
        assert found.layouts == (broken_layout(newline, item),) * 2
    assert broken_layout("row", item).grids == ((1, 2), (2, 4))
    plain = Layout(2, (4, 4), (2, 2), times_s=(0.0, 1.0))
    assert broken_layout("row", plain) == Layout(2, (6, 6), (2, 3), times_s=(0.0, 1.0))
    assert broken_layout("tile_row", plain) == Layout(2, (4, 5), times_s=(0.0, 1.0))
    with pytest.raises(PartError, match="newline: rows need tokens on a grid"):
        LinearConfig(newline="row").layout(Layout(1, (5,)))


def test_tiles_of_many_tokens_and_frames_are_interpolated() -> None:
    """Of 4 x 8 tokens, three times as many as wanted, 2 x 4 stay; of frames of 3 x 3 numbers 2 x 2, as they lie."""
    spec = ShrinkSpec(tiles=10, frames=2)
    item = Layout(3, (4, 32), grids=((2, 2), (4, 8)), tiles=(1, 1))
    assert shrunk_layout(spec, item) == Layout(3, (4, 8), grids=((2, 2), (2, 4)), tiles=(1, 1))
    few = Layout(3, (4, 12), grids=((2, 2), (3, 4)), tiles=(1, 1))  # 1.2 times as many are left as they are
    alone = Layout(1, (36,), (6, 6))
    clip = Layout(2, (9, 9), (3, 3), times_s=(0.0, 1.0))
    tokens = Ragged.of([torch.arange(float(lies.tokens))[:, None] for lies in (few, alone, clip)], [few, alone, clip])
    found = shrunk(spec, tokens)
    assert found.layouts == (few, alone, Layout(2, (4, 4), (2, 2), times_s=(0.0, 1.0)))
    assert [*found][2][:, 0].tolist() == [1, 2.5, 5.5, 7, 10, 11.5, 14.5, 16]
    values = torch.randn(36, 5)
    (merged,) = shrunk(spec, Ragged.of([values], [item]))
    maps = values[4:].T.view(1, 5, 4, 8)
    wanted = torch.nn.functional.interpolate(maps, (2, 4), mode="bilinear")[0].flatten(1).T
    assert torch.equal(merged[:4], values[:4]) and torch.allclose(merged[4:], wanted)
    assert shrunk(None, tokens) is tokens and shrunk_layout(ShrinkSpec(tiles=10), clip) is clip
    with pytest.raises(PartError, match="shrink: found tokens without a grid"):
        shrunk_layout(spec, Layout(1, (5,), times_s=(0.0,)))
    with pytest.raises(ValidationError, match="needs tiles or frames"):
        ShrinkSpec()


def test_llava_nexts_prompt_tokens_come_of_its_weights() -> None:
    """Two tiles of 4 x 4 tokens side by side, of which 2 of 4 rows are no padding, behind the thumbnail."""
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(hidden_size=8, num_attention_heads=1, image_size=12, patch_size=3),
        text_config=LlamaConfig(
            hidden_size=10, num_attention_heads=1, intermediate_size=8, num_hidden_layers=1, vocab_size=9
        ),
        image_grid_pinpoints=[[12, 24], [24, 12]],
    )
    theirs, tiles = LlavaNextModel(config), Layout.of_units(3, tiles=(1, 2), size_px=(100, 280))
    features = torch.randn(3, 16, 8)
    ours = MlpConfig(newline="row").build(dim_in=8, dim_out=10, example=Layout(1, (16,), (4, 4)))
    project = theirs.multi_modal_projector
    (expected,), _ = theirs.pack_image_features([project(features)], [(100, 280)], "default", theirs.image_newline)
    ours.layers[0], ours.layers[2], ours.newlines.token = project.linear_1, project.linear_2, theirs.image_newline
    found = ours(MergingEncoder(Given(4))(Ragged.of([features], [tiles])))
    assert torch.allclose(found.values, expected, atol=1e-6)
    assert found.layouts[0].grids == ((4, 4), (2, 9))


class Given(BlockEncoder):
    """Gives its units as tokens, each block on a square grid."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.dim, self.tokens_per_block, self.grid, self.unit_shape = 8, rows * rows, (rows, rows), (rows * rows, 8)

    def encode(self, units: torch.Tensor) -> torch.Tensor:
        return units


def test_positions_are_those_of_frames() -> None:
    """Two frames of two tokens and one of one; each token gets its frame's vector."""
    items = [Layout(2, (2, 2), times_s=(0.0, 2.5)), Layout(1, (1,), times_s=(1.0,))]
    tokens = Ragged.of([torch.zeros(4, 6), torch.zeros(1, 6)], items)
    learned = Positions(PositionsSpec(most=2), 6)
    table = learned.table.weight
    assert torch.equal(learned(tokens).values, table[torch.tensor([0, 0, 1, 1, 0])])
    by_order = Positions(PositionsSpec(form="sinusoidal"), 6)(tokens).values
    by_time = Positions(PositionsSpec(form="sinusoidal", of="time"), 6)(tokens).values
    assert torch.equal(by_order, sinusoids(torch.tensor([0.0, 0, 1, 1, 0]), 6))
    assert torch.equal(by_time, sinusoids(torch.tensor([0.0, 0, 2.5, 2.5, 1]), 6))
    assert sinusoids(torch.tensor([0.0]), 5).tolist() == [[0, 0, 0, 1, 1]]
    assert sinusoids(torch.tensor([1.0]), 4)[0].tolist() == pytest.approx([0.8415, 0.01, 0.5403, 0.99995], abs=1e-4)


def test_a_table_is_stretched_over_more_frames_where_that_is_said() -> None:
    """Rows 0, 10 and 20 for five frames, beside an item of two; a gradient reaches every row."""
    spec = PositionsSpec(most=3, stretch=True)
    learned, items = Positions(spec, 1), [Layout(5, (1,) * 5), Layout(2, (1, 1))]
    with torch.no_grad():
        learned.table.weight.copy_(torch.tensor([[0.0], [10], [20]]))
    found = learned(Ragged.of([torch.zeros(5, 1), torch.zeros(2, 1)], items)).values[:, 0]
    assert torch.allclose(found, torch.tensor([0.0, 5, 10, 15, 20, 0, 10]))
    (gradient,) = torch.autograd.grad(found.sum(), learned.table.weight)
    assert (gradient > 0).all()
    spec.check(items[0])


@pytest.mark.parametrize(
    ("positions", "item", "says"),
    [
        ({"most": 2}, Layout(3, (1, 1, 1)), "found 3 blocks, have 2; raise positions.most, or set"),
        ({"form": "sinusoidal", "of": "time"}, Layout(1, (1,)), "found an item without times; set positions.of: order"),
    ],
)
def test_items_without_positions_are_refused(positions: dict[str, Any], item: Layout, says: str) -> None:
    with pytest.raises(PartError, match=says):
        LinearConfig.model_validate({"positions": positions}).layout(item)


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


def test_means_over_parts_of_a_grid() -> None:
    """A 2 x 4 grid `0123 / 4567`, and tiles of 2 x 2 behind a thumbnail of 3 x 2."""
    item = Layout(3, (6, 4, 4), grids=((3, 2), (2, 2), (2, 2)), tiles=(1, 2))
    tokens = Ragged.of([torch.arange(8.0)[:, None], torch.arange(14.0)[:, None]], [Layout(1, (8,), (2, 4)), item])
    halved = pooled(GridPool(by=2), tokens)
    assert halved.values[:, 0].tolist() == [2.5, 4.5, 2.5, 7.5, 11.5]
    assert halved.layouts == (Layout(1, (2,), (1, 2)), Layout(3, (1, 1, 1), (1, 1), tiles=(1, 2)))
    fixed = pooled(GridPool(grid=(2, 1)), tokens)
    assert fixed.values[:, 0].tolist() == [1.5, 5.5, 1.5, 3.5, 6.5, 8.5, 10.5, 12.5]  # 3 rows in overlapping pairs
    assert fixed.layouts == tuple(pooled_layout(GridPool(grid=(2, 1)), item) for item in tokens.layouts)


def test_means_over_parts_are_perception_lms_and_llava_next_videos() -> None:
    features = torch.randn(3, 36, 4)
    frames = Ragged(features.flatten(0, 1), (108,), (Layout(3, (36,) * 3, (6, 6)),))
    halved = pooled(GridPool(by=2), frames).values.view(3, 9, 4)
    assert torch.allclose(halved, PerceptionLMAdaptiveAvgPooling(2)(features), atol=1e-6)
    config = LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(hidden_size=4, num_attention_heads=1, image_size=12, patch_size=2),
        spatial_pool_mode="average",
    )
    assert torch.allclose(halved, LlavaNextVideoPooler(config)(features), atol=1e-6)
    fourths = pooled(GridPool(grid=(4, 4)), frames).values.view(3, 16, 4)
    assert torch.allclose(fourths, torch.nn.AdaptiveAvgPool2d(4)(features.mT.view(3, 4, 6, 6)).flatten(2).mT)


@pytest.mark.parametrize(
    ("pool", "item", "says"),
    [
        ({"by": 2}, Layout(1, (5,)), "pool: found tokens without a grid, needed rows and columns"),
        ({"by": 4}, Layout(1, (6,), (2, 3)), "pool: found a grid of 2 x 3, needed at least 4 x 4"),
        ({"grid": [2, 4]}, Layout(1, (6,), (2, 3)), "pool: found a grid of 2 x 3, needed at least 2 x 4"),
    ],
)
def test_grids_without_such_parts_are_refused(pool: dict[str, Any], item: Layout, says: str) -> None:
    with pytest.raises(PartError, match=says):
        LinearConfig.model_validate({"pool": pool}).layout(item)


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
        {"positions": {"of": "time"}},
        {"positions": {"form": "sinusoidal", "stretch": True}},
        {"positions": {}, "pool": "time"},
        {"pool": {}},
        {"pool": {"by": 2, "grid": [2, 2]}},
        {"pool": {"by": 1}},
        {"newline": "rows"},
    ],
)
def test_meaningless_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MlpConfig.model_validate(settings)
