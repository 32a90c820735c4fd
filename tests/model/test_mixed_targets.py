"""Training on turns with several media of several modalities: what is a target, what is read, what carries loss."""

import numpy as np
import pytest
import torch
from mixed import mixed_system
from plug_in import installing
from whistle import RATE_HZ, WhistleConfig

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.modalities.audio import Sound
from modalink.model import collate


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with installing() as install:
        install(WhistleConfig)
        yield mixed_system(tmp_path_factory.mktemp("parts"))


def picture(seed, use=None):
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    return Medium("image", pixels, caption=f"picture {seed}", use=use)


def sound(seed, use=None):
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, RATE_HZ // 4).astype(np.float32)
    return Medium("audio", Sound(wave, RATE_HZ), caption=f"sound {seed}", use=use)


TALKS = [
    Conversation(
        (
            Turn("user", (picture(0), Text("A red cube, and how does it ring?"))),
            Turn(
                "assistant", (picture(1, "both"), Text("rings"), sound(2, "both"), sound(3), Text("twice"), picture(4))
            ),
            Turn("user", (Text("Make it blue."),)),
            Turn("assistant", (Text("Here"), picture(5), sound(6, "both"))),
        ),
        id="mixed",
    ),
    Conversation((Turn("user", (sound(7), Text("What is it?"))), Turn("assistant", (sound(8), picture(9)))), id="bare"),
    Conversation((Turn("user", (Text("Hi"),)), Turn("assistant", (Text("Hello"),))), id="words"),
]


def prepared(system):
    return [system.processor.prepare(talk) for talk in TALKS]


def test_every_medium_of_the_assistant_is_a_target_and_what_is_both_is_read_behind_its_signal_tokens(system):
    sample = prepared(system)[0]
    assert [item.caption for item in sample.targets["image"]] == ["picture 1", "picture 4", "picture 5"]
    assert [item.caption for item in sample.targets["audio"]] == ["sound 2", "sound 3", "sound 6"]
    assert [item.caption for item in sample.media["image"]] == ["picture 0", "picture 1"]
    assert [item.caption for item in sample.media["audio"]] == ["sound 2", "sound 6"]
    for modality, made in (("image", (0,)), ("audio", (0, 2))):
        assert len(sample.signals[modality]) == len(sample.targets[modality]) == 3
        for number in made:
            run = sample.signals[modality][number]
            assert run[-1] + 1 in {places[0] for places in sample.places[modality]}, "read right behind"


def test_labels_are_the_first_signal_token_of_each_run_and_the_assistants_words(system):
    runs = system.model.config.signals
    for sample in prepared(system):
        for modality, places in sample.signals.items():
            for run in places:
                assert [sample.input_ids[place] for place in run] == runs[modality]
                assert [sample.labels[place] for place in run] == [runs[modality][0], *[-100] * (len(run) - 1)]
        for places in (place for items in sample.places.values() for item in items for place in item):
            assert sample.labels[places] == -100
    words = [sample.labels[place] for sample in prepared(system) for place in range(len(sample.labels))]
    assert {run[0] for run in runs.values()} < set(words)


def losses(system, samples, packed):
    """Sums of cross-entropy and of denoising errors, and their conditions in the order of the targets."""
    batch = collate(samples, packed=packed, pad_id=0)
    output = system.model(**batch.inputs())
    logits = output.logits if packed else output.logits.view(-1, output.logits.shape[-1])
    language = torch.nn.functional.cross_entropy(logits.double(), batch.wanted, reduction="sum")
    errors = {}
    for modality, targets in batch.targets.items():
        generator, conditions = system.generators[modality], output.conditions[modality]
        assert len(conditions) == len(targets.items)
        latents = generator.encode_media(targets.media)
        rngs = [torch.Generator().manual_seed(int(item.digest[:8], 16)) for item in targets.items]
        found = generator.denoising_error(latents, conditions, rngs)
        errors |= {item.digest: error for item, error in zip(targets.items, found, strict=True)}
    return language, errors


def test_packed_padded_and_one_by_one_the_losses_are_the_same(system):
    system.model.double()
    for generator in system.generators.values():
        generator.double()
    try:
        with torch.no_grad():
            samples = prepared(system)
            together = losses(system, samples, packed=True)
            padded = losses(system, samples, packed=False)
            alone = [losses(system, [sample], packed=True) for sample in samples]
    finally:
        system.model.float()
        for generator in system.generators.values():
            generator.float()
    micro = sum(language for language, _ in alone), {k: v for _, errors in alone for k, v in errors.items()}
    assert len(together[1]) == 8
    for other in (padded, micro):
        assert float(other[0]) == pytest.approx(float(together[0]), rel=1e-5)
        assert other[1].keys() == together[1].keys()
        for digest, error in together[1].items():
            assert float(other[1][digest]) == pytest.approx(float(error), rel=1e-4)
