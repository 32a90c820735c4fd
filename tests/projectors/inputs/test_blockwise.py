"""A projector for each frame, then one over all of them."""

from typing import Any, ClassVar

import pytest
import torch

from modalink.errors import PartError
from modalink.kinds import parse
from modalink.projectors.inputs.blockwise import BlockwiseConfig, blocks_of
from modalink.ragged import Layout, Ragged
from modalink.roles import InputProjector, InputProjectorConfig
from modalink.testing.tokenizers import tiny_tokenizer

FRAMES = Layout(3, (4, 4, 4), (2, 2), times_s=(0.0, 1.0, 2.0))


class QueriesConfig(InputProjectorConfig):
    """Reads any number of tokens, gives as many as it has queries: each the sum of all, of words too, times its own
    number."""

    kind: str = "queries"
    queries: int = 2

    def tiny(self) -> "QueriesConfig":
        return self

    reads_text: ClassVar[bool] = True

    def layout(self, item: Layout) -> Layout:
        return Layout(item.units, (self.queries,))

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "Queries":
        return Queries(self, dim_out)

    def text_ids(self, text: str, tokenizer: Any) -> list[int]:
        return [len(text)]


class Queries(InputProjector):
    def __init__(self, config: QueriesConfig, dim_out: int) -> None:
        super().__init__()
        self.config, self.dim_out = config, dim_out

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        said = [0.0] * len(features) if texts is None else [float(ids.sum()) for ids in texts]
        numbers = torch.arange(1.0, self.config.queries + 1)
        each = [(item.sum() + word) * numbers for item, word in zip(features, said, strict=True)]
        values = torch.cat(each)[:, None].expand(-1, self.dim_out)
        return features.with_values(values, [self.config.layout(item) for item in features.layouts])


def tokens(*layouts: Layout) -> Ragged:
    return Ragged.of([torch.arange(float(layout.tokens))[:, None] for layout in layouts], layouts)


def built(config: BlockwiseConfig, example: Layout = FRAMES) -> Any:
    return config.build(dim_in=1, dim_out=1, example=example)


def test_each_frame_is_projected_by_itself() -> None:
    """Frames `0 1 2 3`, `4 5 6 7` and `8 9 10 11`: two queries of each, one frame after the other."""
    config = BlockwiseConfig(each=QueriesConfig())
    found = built(config)(tokens(FRAMES, blocks_of(FRAMES)[0]))
    assert found.values[:, 0].tolist() == [6, 12, 22, 44, 38, 76, 6, 12]
    assert found.layouts[0] == config.layout(FRAMES) == Layout(3, (2, 2, 2), times_s=FRAMES.times_s)


def test_a_second_projector_reads_what_came_of_all_frames() -> None:
    config = BlockwiseConfig(each=QueriesConfig(), whole=QueriesConfig(queries=1), width=1)
    found = built(config)(tokens(FRAMES, blocks_of(FRAMES)[0]))
    assert found.values[:, 0].tolist() == [198, 18] and found.lengths == (1, 1)
    assert config.layout(FRAMES).tokens == 1


def test_without_a_first_projector_tokens_go_on_as_they_are() -> None:
    config = BlockwiseConfig(whole=QueriesConfig(queries=1), width=5)
    assert built(config)(tokens(FRAMES)).values[:, 0].tolist() == [sum(range(12))]
    assert config.sections() == ("whole",) and config.tiny().each is None
    with pytest.raises(PartError, match="found neither `each` nor `whole`"):
        built(BlockwiseConfig())


def test_positions_tell_the_second_one_which_frame_is_which() -> None:
    config = BlockwiseConfig.model_validate(
        {"each": QueriesConfig(queries=1), "whole": QueriesConfig(queries=1), "width": 1, "positions": {"most": 3}}
    )
    projector = built(config)
    with torch.no_grad():
        projector.positions.table.weight.copy_(torch.tensor([[0.1], [0.2], [0.4]]))
    assert projector(tokens(FRAMES)).values.item() == pytest.approx(66.7)
    with pytest.raises(PartError, match="found 4 blocks, have 3"):
        config.layout(Layout(4, (1,) * 4))


def test_words_of_the_turn_reach_the_projector_that_reads_them() -> None:
    config = BlockwiseConfig(each=QueriesConfig(queries=1))
    assert config.reads_text and config.text_ids("what", tiny_tokenizer()) == [4]
    texts = Ragged(torch.tensor([100]), (1,), (Layout.of_units(1),))
    assert built(config)(tokens(FRAMES), texts).values[:, 0].tolist() == [106, 122, 138]
    linear: Any = parse("modalink.projectors.inputs", {"kind": "blockwise", "each": {"kind": "linear"}})
    assert not linear.reads_text


def test_tiles_and_grids_stay() -> None:
    """Of tiles of 2 x 4 tokens, joined by 2 x 2, tokens lie 1 x 2; the thumbnail stays last."""
    join = {"tokens": 4, "layout": "square"}
    config: Any = parse("modalink.projectors.inputs", {"kind": "blockwise", "each": {"kind": "linear", "join": join}})
    tiles = Layout(3, (8, 8, 8), (2, 4), tiles=(1, 2), thumbnail_last=True)
    assert config.layout(tiles) == Layout(3, (2, 2, 2), (1, 2), tiles=(1, 2), thumbnail_last=True)
    assert built(config, tiles)(tokens(tiles)).layouts == (config.layout(tiles),)


def test_none_stands_inside_itself() -> None:
    inner = {"kind": "blockwise", "each": {"kind": "linear"}}
    with pytest.raises(ValueError, match="'blockwise' cannot stand inside itself"):
        parse("modalink.projectors.inputs", {"kind": "blockwise", "each": inner})


def test_the_tiny_form_is_narrow() -> None:
    tiny = BlockwiseConfig.model_validate({"each": {"kind": "mlp", "layers": 3}, "whole": {"kind": "linear"}}).tiny()
    assert (tiny.width, tiny.each.layers) == (128, 2)  # type: ignore[attr-defined]
