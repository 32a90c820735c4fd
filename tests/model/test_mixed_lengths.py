"""Items of several lengths in one batch: what comes out is what comes out of each sample alone."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from modalink.conversation import Conversation
from modalink.errors import PromptError
from modalink.features.cache import FeatureCache
from modalink.features.compute import Once
from modalink.model import Batch, System, collate, compose
from modalink.ragged import Layout, Ragged
from modalink.recipe import InputSpec, SystemSpec
from modalink.testing import TinyEncoderConfig, TinyInputProjectorConfig
from modalink.testing.checkpoints import tiny_llama
from modalink.testing.fakes import TinyInputProjector, TinyPreprocessor
from modalink.training.frozen import FrozenEncoders

TILE = 16


class Tiles(TinyPreprocessor):
    """Cuts an image into as many square tiles as it has places for."""

    def layout(self, medium: Image.Image) -> Layout:
        columns, rows = medium.width // TILE, medium.height // TILE
        return Layout.of_units(rows * columns, tiles=(rows, columns))

    def __call__(self, medium: Image.Image) -> Tensor:
        corners = [(x, y) for y in range(0, medium.height, TILE) for x in range(0, medium.width, TILE)]
        cut = [medium.crop((x, y, x + TILE, y + TILE)) for x, y in corners]
        return torch.cat([TinyPreprocessor.__call__(self, tile) for tile in cut])


class TilesConfig(TinyEncoderConfig):
    def preprocessor(self) -> Tiles:
        return Tiles(TILE)


class ListeningProjector(TinyInputProjector):
    """Adds the mean of the words' ids to each token."""

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        assert texts is not None
        projected = super().forward(features)
        means = torch.stack([said.float().mean() for said in texts])
        added = means.repeat_interleave(torch.tensor(projected.lengths))[:, None] / 100
        return projected.with_values(projected.values + added, projected.layouts)


class ListeningConfig(TinyInputProjectorConfig):
    reads_text: ClassVar[bool] = True

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> ListeningProjector:
        return ListeningProjector(dim_in, dim_out)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., System]:
    llm = tiny_llama(tmp_path_factory.mktemp("llm"))

    def build(projector: Any = None, **marks: str) -> System:
        image = InputSpec(encoder=TilesConfig(), projector=projector or TinyInputProjectorConfig(), marks=marks)
        return compose(
            SystemSpec(inputs={"image": image}, llm={"checkpoint": str(llm)}, prompt={"template": "vicuna-v1.1"})
        )

    return build


def talks(sizes: list[list[tuple[int, int]]]) -> list[Conversation]:
    """A conversation for each list of image sizes, in tiles."""
    return [Conversation.from_messages([*_messages(images, n)], f"talk-{n}") for n, images in enumerate(sizes)]


def _messages(images: list[tuple[int, int]], seed: int) -> Iterator[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    for rows, columns in images:
        pixels = torch.randint(0, 255, (rows * TILE, columns * TILE, 3), generator=torch.Generator().manual_seed(seed))
        content.append({"type": "image", "image": Image.fromarray(pixels.to(torch.uint8).numpy())})
    yield {"role": "user", "content": [*content, {"type": "text", "text": "what is it" + " now" * seed}]}
    yield {"role": "assistant", "content": [{"type": "text", "text": f"the {'red ' * seed}one"}]}


def logits(system: System, batch: Batch) -> Tensor:
    found: Tensor = system.model(**batch.inputs()).logits
    return found


SIZES = st.lists(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=3), min_size=1, max_size=4)
MARKS = {"begin": "see:", "end": ".", "between_blocks": ", ", "between_tile_rows": "; ", "before_block": "{number} "}


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=SIZES, packed=st.booleans(), marked=st.booleans(), listens=st.booleans())
def test_a_batch_of_mixed_lengths_equals_one_by_one(
    make: Callable[..., System], sizes: list[list[tuple[int, int]]], packed: bool, marked: bool, listens: bool
) -> None:
    system = make(ListeningConfig() if listens else None, **(MARKS if marked else {}))
    prepared = [system.processor.prepare(talk) for talk in talks(sizes)]
    together = logits(system, collate(prepared, packed=packed, pad_id=0))
    alone = torch.cat([logits(system, collate([sample], packed=packed, pad_id=0)) for sample in prepared])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    for sample, images in zip(prepared, sizes, strict=True):
        assert [item.tokens for item in sample.media.get("image", [])] == [4 * r * c for r, c in images]


@pytest.mark.parametrize("chunk", [1, 4])
def test_cached_features_of_mixed_lengths_are_those_of_the_encoder(make: Callable[..., System], chunk: int) -> None:
    system = make()
    batch = collate([system.processor.prepare(t) for t in talks([[(1, 1), (2, 3)], [(1, 1)], [(3, 2)]])], packed=True,
                    pad_id=0)  # fmt: skip
    cached = FrozenEncoders(system, [], Once(FeatureCache(chunk=chunk), torch.float32, torch.device("cpu")))
    direct = system.model.encode("image", batch.media["image"])
    for _ in range(2):
        found = cached.encoded(batch).features["image"]
        assert found.layouts == direct.layouts
        torch.testing.assert_close(found.values, direct.values)


def test_a_question_about_items_of_mixed_lengths_is_answered_with_and_without_a_cache(
    make: Callable[..., System],
) -> None:
    system = make()
    inputs = system.processor(conversation=_question([(2, 1), (1, 3)]))
    arguments = {"max_new_tokens": 5, "do_sample": False}
    expected = system.model.generate(**inputs, **arguments, use_cache=False)
    assert torch.equal(system.model.generate(**inputs, **arguments), expected)


def _question(images: list[tuple[int, int]]) -> Conversation:
    return Conversation.from_messages([next(_messages(images, 3))], "question")


def test_a_sample_whose_tokens_are_not_those_of_its_items_is_named(make: Callable[..., System]) -> None:
    system = make()
    first, second = (system.processor.prepare(talk) for talk in talks([[(1, 1)], [(1, 1), (2, 1)]]))
    second.places["image"][1].pop()
    with pytest.raises(PromptError, match="talk-1: image item 3 of the batch has 7 placeholder tokens and 8 prompt"):
        logits(system, collate([first, second], packed=True, pad_id=0))
