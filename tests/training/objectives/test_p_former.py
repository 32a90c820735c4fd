"""What teaches a P-Former, and what it teaches: DLP's stages."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from docs.tools.seeded import drawn
from modalink.errors import TrainingError
from modalink.features.cache import FeatureCache
from modalink.modalities.sentence import Sentence
from modalink.model import compose
from modalink.model.batch import Batch
from modalink.model.collating import collate
from modalink.model.groups import inner_name
from modalink.model.items import Item, ragged
from modalink.model.prepared import Prepared
from modalink.projectors.inputs.p_former import PFormerConfig
from modalink.ragged import Layout, Ragged
from modalink.recipe import Recipe
from modalink.testing.checkpoints import tiny_bert
from modalink.training.freezing import freeze, needs_of
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.objectives import Embedded, Output
from modalink.training.objectives.prompt_alignment import PromptAlignmentConfig
from modalink.training.objectives.sentence_contrast import SentenceContrastConfig
from modalink.training.objectives.vocabulary import VocabularyConfig
from modalink.training.opening import make_learner, open_loader
from modalink.training.randomness import ItemRngs
from modalink.training.step import Learner
from modalink.training.terms import Terms
from modalink.training.train import train

CPU, RNGS = torch.device("cpu"), ItemRngs(0, 0, [0] * 4)
CONTRAST, VOCABULARY, ALIGNMENT = 1.0331851, 0.6425909, 1.1763086
"""`loss_c` and `loss_vq` of BLIText's pformer_opt.py and `loss_align` of its blip2_qformer_pformer.py, on the numbers
below, by their lines in one process; `loss_c` has these gradients, the first one summed without signs."""
OF_MAP, OF_TEMPERATURE = 3.5497866, -14.521602
SENTENCE = Layout.of_units(1)


def batch_of(modality: str, *items: Item) -> Batch:
    samples = [Prepared(str(i), [1, 2], [-100, 2], media={modality: [item]}) for i, item in enumerate(items)]
    return collate(samples, packed=True, pad_id=0)


def item(**changes: Any) -> Item:
    return replace(Item.of(torch.ones(1)), **changes)


@pytest.fixture
def projector() -> Any:
    made = PFormerConfig(queries=5, width=12, contrast=6).build(dim_in=12, dim_out=20, example=SENTENCE)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.ndim:
                parameter.copy_(drawn(name, parameter.shape))
    return made


@pytest.fixture
def vectors() -> Ragged:
    return Ragged(drawn("sentences", (4, 12)) * 12**0.5, (1,) * 4, (SENTENCE,) * 4)


def test_the_contrast_is_that_of_blitext(projector: Any, vectors: Ragged) -> None:
    objective, batch = SentenceContrastConfig(), batch_of("sentence", *[item() for _ in range(4)])
    embedded = Embedded(projector.embedded(vectors), projector.temperature)
    loss = objective.sum(Output(embeddings={"sentence": embedded}), batch, {}, RNGS) / objective.count(batch)
    loss.backward()
    assert loss.item() == pytest.approx(CONTRAST, abs=1e-5)
    assert projector.heads.map.weight.grad.abs().sum().item() == pytest.approx(OF_MAP, rel=1e-4)
    assert projector.temperature.grad.item() == pytest.approx(OF_TEMPERATURE, rel=1e-4)


def test_the_distance_to_words_is_that_of_blitext(projector: Any, vectors: Ragged) -> None:
    objective, batch = VocabularyConfig(), batch_of("sentence", *[item() for _ in range(4)])
    words = (drawn("words", (30, 20)) * 20**0.5).requires_grad_()
    output = Output(prompt_tokens={"sentence": projector(vectors)}, vocabulary=words.detach())
    loss = objective.sum(output, batch, {}, RNGS) / objective.count(batch)
    assert loss.item() == pytest.approx(VOCABULARY, abs=1e-5)
    loss.backward()
    assert words.grad is None and projector.exit.weight.grad.abs().sum() > 0


def test_the_alignment_is_that_of_blitext(projector: Any, vectors: Ragged) -> None:
    objective, batch = PromptAlignmentConfig(), batch_of("image", *[item(shown=item()) for _ in range(4)])
    prompts = drawn("prompts of pictures", (4, 5, 20)) * 20**0.5
    made = Ragged(prompts.flatten(0, 1), (5,) * 4, (Layout(1, (5,)),) * 4)
    output = Output(prompt_tokens={"image": made}, reference_prompts={"image": projector(vectors)})
    assert objective.sum(output, batch, {}, RNGS).item() / objective.count(batch) == pytest.approx(ALIGNMENT, abs=1e-5)


def test_items_without_loss_and_without_captions_count_nothing(projector: Any, vectors: Ragged) -> None:
    sentences = batch_of("sentence", item(), item(loss=False), item(), item())
    assert SentenceContrastConfig().count(sentences) == VocabularyConfig().count(sentences) == 3
    found = Embedded(projector.embedded(vectors), projector.temperature)
    three = Embedded(found.vectors[[0, 2, 3]], found.temperature)
    others = batch_of("sentence", item(), item(), item())
    sums = [
        SentenceContrastConfig().sum(Output(embeddings={"sentence": own}), batch, {}, RNGS)
        for own, batch in ((found, sentences), (three, others))
    ]
    assert sums[0].item() == pytest.approx(sums[1].item())
    pictures = batch_of("image", item(shown=item()), item(), item(shown=item(), loss=False))
    assert PromptAlignmentConfig().count(pictures) == 1 and PromptAlignmentConfig(modalities=()).count(pictures) == 0


def test_prompts_of_another_number_are_told(projector: Any, vectors: Ragged) -> None:
    made = Ragged(torch.zeros(4, 20), (4,), (Layout(1, (4,)),))
    output = Output(prompt_tokens={"image": made}, reference_prompts={"image": projector(vectors.take([0]))})
    with pytest.raises(TrainingError, match=r"inputs.image.projector: found 4 prompt tokens, and 5 of a caption"):
        PromptAlignmentConfig().sum(output, batch_of("image", item(shown=item())), {}, RNGS)


Q_FORMER = {
    "kind": "q_former",
    "queries": 4,
    "width": 16,
    "layers": 2,
    "heads": 2,
    "feed_forward": 32,
    "captions": True,
}
TEXT_ALONE = [{"kind": "language"}, {"kind": "sentence_contrast"}, {"kind": "vocabulary"}]
FIRST = [{"kind": "itc"}, {"kind": "itm"}, {"kind": "itg"}, {"kind": "prompt_alignment", "weight": 10}]
SECOND = [{"kind": "language"}, {"kind": "prompt_alignment", "weight": 100}]


@pytest.fixture
def recipe(make_recipe: Callable[..., Recipe], pretrain: Callable[..., dict], tmp_path: Path) -> Callable[..., Recipe]:
    """DLP of random parts."""
    texts = tmp_path / "captions.txt"
    texts.write_text("a red cube\ntwo blue circles\nthree green squares\na ball left of a cube\n")
    place = tiny_bert(tmp_path / "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    bert = {"kind": "text", "checkpoint": str(place), "mask": 0.25}
    own = {f"inputs.sentence.{part}": {"lr": 1e-3} for part in ("encoder", "projector")}
    image = {"inputs.image.projector": {"lr": 1e-3}}
    sentences = [{"source": "sentences", "of": {"source": "text", "path": str(texts)}}]

    def make(**changes: Any) -> Recipe:
        stages = [
            pretrain(
                **{"name": "text", "train": own, "objectives": TEXT_ALONE, "data": sentences, "batch": 4, "steps": 4}
            ),
            pretrain(**{"name": "first", "train": image, "objectives": FIRST, "batch": 4, "steps": 2}),
            pretrain(**{"name": "second", "train": image, "objectives": SECOND, "batch": 4, "steps": 2}),
        ]
        data = {**make_recipe(pretrain()).to_dict(), "stages": [stage | changes for stage in stages]}
        data["inputs"]["image"]["projector"] = {**Q_FORMER, "vocabulary": 600, "contrast": 8, "dropout": 0.0}
        data["inputs"]["sentence"] = {
            "encoder": bert,
            "projector": {"kind": "p_former", "queries": 4, "width": 16, "contrast": 8},
        }
        data["outputs"] = {}
        return Recipe.model_validate(data)

    return make


@pytest.fixture
def start(recipe: Callable[..., Recipe], tmp_path: Path) -> Callable[..., tuple[Learner, list[Prepared]]]:
    def make(number: int, **changes: Any) -> tuple[Learner, list[Prepared]]:
        made = recipe(**changes)
        system, stage = compose(made, seed=0), made.stages[number]
        run = Run(tmp_path, made, system, FeatureCache(), CPU, lambda event: None, StopRequest())
        trained = freeze(system.model, system.model.trainable_groups(), stage.train, needs_of(stage))
        with ExitStack() as stack:
            batches = open_loader(run, stage, tmp_path, stack).batches()
            samples = next(batches)
            batches.close()
        return make_learner(run, stage, trained, steps=10), samples

    return make


def test_all_three_stages_learn_what_they_declare_and_nothing_else(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    chosen = recipe()
    system = compose(chosen, seed=0)
    changed, before = {}, {name: p.detach().clone() for name, p in system.model.named_parameters()}

    def listen(event: Any) -> None:
        stage = getattr(event, "stage", None)
        if type(event).__name__ == "StepDone" and event.step == event.steps:
            now = dict(system.model.named_parameters())
            changed[stage] = {n for n, p in now.items() if not torch.equal(p, before[n])}
            before.update({n: p.detach().clone() for n, p in now.items()})

    train(chosen, tmp_path / "run", system=system, on_event=listen)
    parts = {stage: {".".join(inner_name(n).split(".")[:3]) for n in names} for stage, names in changed.items()}
    assert parts["text"] == {"inputs.sentence.encoder", "inputs.sentence.projector"}
    assert parts["first"] == parts["second"] == {"inputs.image.projector"}
    sections = {(inner_name(name).section or "").partition(".")[0] for name in changed["first"]}
    assert sections == {"queries", "q_former", "exit", "heads"}
    lines = [json.loads(line) for line in (tmp_path / "run" / "first" / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["losses"].keys() == {"itc", "itm", "itg", "prompt_alignment"}


@pytest.mark.parametrize("number", [0, 2])
def test_a_step_is_the_same_however_it_is_cut(start: Callable[..., Any], number: int) -> None:
    """But for the contrast, which is that of a pass."""
    found = []
    for size in (None, 1, 2):
        learner, samples = start(number, micro_batch=size)
        objectives = {n: o for n, o in learner.objectives.items() if n != "sentence_contrast"}
        learner.objectives, learner.terms = objectives, Terms.of(learner.stage, objectives)
        parts = learner.micro_batches(samples)
        counts = learner.counts([part.batch for part in parts])
        losses, norms = learner.gradients(0, parts, counts)
        assert min(norms.values()) > 0 and counts.keys() == objectives.keys()
        found.append((counts, losses, norms))
    for counts, losses, norms in found[1:]:
        assert counts == found[0][0] and losses == pytest.approx(found[0][1], rel=1e-5)
        assert norms == pytest.approx(found[0][2], rel=1e-3)


def test_a_caption_is_read_whole_by_parts_that_stay_as_they_are(start: Callable[..., Any]) -> None:
    learner, samples = start(1)
    (part,) = learner.micro_batches(samples)
    reference = learner.forward(0, part)[0].reference_prompts["image"]
    model, reader = learner.system.model, learner.system.processor.readers["sentence"]
    shown = [found.shown for sample in samples for found in sample.media["image"]]
    captions = [found.caption for sample in samples for found in sample.media["image"]]
    assert all(caption and caption.endswith("cube") for caption in captions)
    assert [one.load().tolist() for one in shown] == [reader(Sentence(text)).tolist() for text in captions]
    direct = model.model.prompt_tokens("sentence", model.encode("sentence", ragged(shown)))
    torch.testing.assert_close(reference.values, direct.values.detach())
    assert not reference.values.requires_grad


def test_words_are_masked_anew_each_time_that_they_teach(start: Callable[..., Any]) -> None:
    learner, samples = start(0)
    mask = learner.system.processor.readers["sentence"].tokenizer.mask_token_id
    units = [found.load() for sample in samples for found in sample.media["sentence"]]
    assert any((ids == mask).any() for ids in units) and all(ids[0] != mask for ids in units)


def test_what_is_missing_is_told(recipe: Callable[..., Recipe]) -> None:
    data = recipe().to_dict()
    learns = {
        **data,
        "stages": [data["stages"][1] | {"train": data["stages"][0]["train"] | data["stages"][1]["train"]}],
    }
    with pytest.raises(ValueError, match="'prompt_alignment' aligns with it, and this stage trains it"):
        Recipe.model_validate(learns)
    alone = {**data, "inputs": {"image": data["inputs"]["image"]}}
    with pytest.raises(ValueError, match="found 'sentence', needed an input that reads captions"):
        Recipe.model_validate({**alone, "stages": [data["stages"][1]]})
    stage = data["stages"][1] | {"objectives": [{"kind": "sentence_contrast"}]}
    with pytest.raises(ValueError, match="needs an input projector that tells sentences apart"):
        Recipe.model_validate({**alone, "stages": [stage]})
