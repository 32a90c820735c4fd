"""Contrast, matching and writing: LAVIS' numbers, wrong pairs, a stage without the LLM."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from modalink.conversation import Conversation
from modalink.model import compose
from modalink.model.batch import Batch
from modalink.model.collating import collate
from modalink.model.groups import inner_name
from modalink.model.items import Described, Item
from modalink.model.prepared import Prepared
from modalink.projectors.inputs.q_former import QFormerConfig
from modalink.ragged import Layout, Ragged
from modalink.recipe import Recipe
from modalink.testing.checkpoints import by_name
from modalink.training.objectives import Captioned, Output
from modalink.training.objectives.itc import ItcConfig
from modalink.training.objectives.itg import ItgConfig
from modalink.training.objectives.itm import ItmConfig, drawn
from modalink.training.randomness import ItemRngs
from modalink.training.train import train

SMALL: dict[str, Any] = {"width": 16, "layers": 3, "heads": 4, "feed_forward": 32, "queries": 5, "contrast": 8}
LAVIS = {"itc": 0.6993271, "itm": 0.7484746, "itg": 3.4858625}
"""What the class `Blip2Qformer` of salesforce/LAVIS@506965b gave for these features, words and weights, each parameter
drawn by its name here; with two media the wrong pairs are certain."""
TEXTS = ((2, 5, 6, 7, 3), (2, 8, 9, 3))


def batch_of(*texts: tuple[int, ...]) -> Batch:
    """A sample for each caption; an empty one is a medium without."""
    items = [Item.of(torch.full((1, 2), float(number)), words=text) for number, text in enumerate(texts)]
    samples = [Prepared(str(n), [1, 2], [-100, 2], media={"image": [item]}) for n, item in enumerate(items)]
    return collate(samples, packed=True, pad_id=0)


def captioned(batch: Batch) -> Output:
    config = QFormerConfig(captions=True, vocabulary=30, **SMALL)
    projector = config.build(dim_in=12, dim_out=20, example=Layout(1, (9,))).eval()
    projector.load_state_dict({name: by_name(name, p.shape) for name, p in projector.named_parameters()})
    torch.nn.init.constant_(projector.heads.temperature, 0.07)  # type: ignore[union-attr,arg-type]
    described = batch.described["image"]
    count = len(described.places)
    values = 5 * by_name("features", torch.Size([count, 9, 12]))
    features = Ragged(values.flatten(0, 1), (9,) * count, (Layout(1, (9,)),) * count)
    return Output(captioned={"image": Captioned(projector, features, described.words, described)})  # type: ignore[arg-type]


@pytest.mark.parametrize("objective", [ItcConfig(), ItmConfig(), ItgConfig()], ids=lambda objective: objective.kind)
def test_it_is_lavis_loss(objective: Any) -> None:
    batch = batch_of(*TEXTS)
    with torch.no_grad():
        found = objective.sum(captioned(batch), batch, {}, ItemRngs(0, 0, [0, 1])) / objective.count(batch)
    assert found.item() == pytest.approx(LAVIS[objective.kind], abs=1e-5)


def test_units_are_media_with_captions_and_words() -> None:
    batch = batch_of(TEXTS[0], (), TEXTS[1])
    assert batch.described["image"] == Described((0, 2), (0, 2), TEXTS)
    counts = [config.count(batch) for config in (ItcConfig(), ItmConfig(), ItgConfig())]
    assert counts == [2, 2, 4 + 3]
    assert ItcConfig(modalities=("audio",)).count(batch) == 0 == ItcConfig().count(batch_of((), ()))


def test_a_medium_alone_has_no_wrong_caption() -> None:
    batch = batch_of(TEXTS[0])
    output, rngs = captioned(batch), ItemRngs(0, 0, [0])
    with torch.no_grad():
        assert ItcConfig().sum(output, batch, {}, rngs).item() == 0
        assert torch.isfinite(ItmConfig().sum(output, batch, {}, rngs))
    pairs = drawn(torch.ones(1, 1), [TEXTS[0]], torch.full((2, 1, 1), 0.5))
    assert (pairs.items.tolist(), pairs.texts.tolist()) == ([0], [0])


def test_wrong_pairs_are_hard_and_never_of_the_same_caption() -> None:
    """Of picture 0 the wrong texts 1 and 2 have 4 shares of 5 and one; text 3 is the same as its own."""
    texts = ((2, 4, 3), (2, 5, 3), (2, 6, 3), (2, 4, 3))
    similarities = torch.zeros(4, 4)
    similarities[0] = torch.tensor([100.0, 4.0, 1.0, 100.0]).log()
    generator = torch.Generator().manual_seed(0)
    pairs = [drawn(similarities, texts, torch.rand(2, 4, 4, generator=generator)) for _ in range(400)]
    for pair in pairs:
        assert pair.items.tolist()[:4] == pair.texts.tolist()[:4] == [0, 1, 2, 3]
        wrong = zip(pair.items.tolist()[4:], pair.texts.tolist()[4:], strict=True)
        assert all(texts[item] != texts[text] for item, text in wrong)
        assert pair.texts.tolist()[4:8] == pair.items.tolist()[8:] == [0, 1, 2, 3]
    share = sum(pair.texts[8].item() == 1 for pair in pairs) / len(pairs)
    assert share == pytest.approx(0.8, abs=0.06)


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe], pretrain: Callable[..., dict[str, Any]]) -> Callable[..., Recipe]:
    def make(*kinds: str, captions: bool = True, **changes: Any) -> Recipe:
        data = make_recipe(pretrain(**changes)).to_dict()
        data["stages"][0]["objectives"] = [{"kind": kind} for kind in kinds]
        data["inputs"]["image"]["projector"] = {"kind": "q_former", "captions": captions, "vocabulary": 600, **SMALL}
        return Recipe.model_validate(data)

    return make


def test_a_stage_learns_from_captions_without_the_llm(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe("itc", "itm", "itg", steps=2)
    system = compose(chosen, seed=0)
    monkeypatch.setattr(system.model.language_model, "forward", _refuse)
    before = {name: p.detach().clone() for name, p in system.model.named_parameters()}
    train(chosen, tmp_path / "run", system=system)
    changed = {n for n, p in system.model.named_parameters() if not torch.equal(p, before[n])}
    sections = {inner_name(name).section.partition(".")[0] for name in changed}
    assert sections == {"queries", "q_former", "heads"}
    own = {n for n in before if n.startswith("model.input_projectors.") and ".exit." not in n}
    assert changed == own


def test_an_answer_is_the_caption_of_a_medium_without_one(recipe: Callable[..., Recipe], data: dict[str, str]) -> None:
    processor = compose(recipe("itc", steps=1), seed=0).processor
    picture = {"type": "image", "path": str(Path(data["ask"]).with_name("0.png"))}

    def words(caption: str | None = None, **answer: Any) -> list[int]:
        asked = {"role": "user", "content": [picture | ({} if caption is None else {"caption": caption})]}
        told = {"role": "assistant", "content": "a red cube", **answer}
        (item,) = processor.prepare(Conversation.from_messages([asked, told])).media["image"]
        return [*item.words]

    begin, *middle, end = words()
    ids = processor.tokenizer("a red cube", add_special_tokens=False).input_ids
    assert middle == ids and (begin, end) == (processor.tokenizer.bos_token_id, processor.tokenizer.eos_token_id)
    assert words("two circles") != words() and words(loss=False) == []


def test_it_needs_a_projector_that_learns_captions(recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(ValueError, match="'itc' needs an input projector that learns captions, and there is none"):
        recipe("itc", captions=False)


def _refuse(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("the LLM ran")
