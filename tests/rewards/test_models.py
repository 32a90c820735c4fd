"""Rewards by networks: CLIP and CLAP compare words and media, a detector finds objects."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessor,
)

from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.errors import DataError, RecipeError
from modalink.kinds import parse
from modalink.modalities.audio import Sound
from modalink.rewards import Answered
from modalink.testing import check_reward
from modalink.testing.checkpoints import tiny_clap
from modalink.testing.tokenizers import tiny_tokenizer


def reward(kind, **settings):
    return parse("modalink.rewards", {"kind": kind, **settings})


def drawn(medium, text="Here.", **facts):
    return Answered(Conversation((Turn("user", (Text("a red cube"),)),), "asked"), (Text(text), medium), facts)


def noise(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 30, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("clip"), tiny_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = sizes | {
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": 1,
        "initializer_factor": 10.0,
    }
    vision = sizes | {"image_size": 32, "patch_size": 8, "initializer_factor": 10.0}
    torch.manual_seed(4)
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=16, initializer_factor=10.0)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_clip_of_what_was_made_is_the_published_score(clip):
    answers = [drawn(Medium("image", noise(seed))) for seed in range(4)]
    model, processor = CLIPModel.from_pretrained(clip).eval(), CLIPImageProcessor.from_pretrained(clip)
    pixels = processor([noise(seed) for seed in range(4)], return_tensors="pt")
    words = tiny_tokenizer()(["A photo depicts a red cube"], return_tensors="pt")
    with torch.no_grad():
        cosines = model(input_ids=words["input_ids"], attention_mask=words["attention_mask"], **pixels)
    expected = (2.5 * cosines.logits_per_image[:, 0] / model.logit_scale.exp()).clamp(min=0)
    config = reward("clip", checkpoint=str(clip), prefix="A photo depicts ")
    found = config.build().score(answers)
    assert found == pytest.approx(expected.tolist(), abs=1e-4) and len({*found}) > 1
    check_reward(config, answers, right=int(np.argmax(found)), wrong=int(np.argmin(found)))


def test_clip_has_gradients_to_the_pictures_that_it_judges(clip):
    """Of pictures of its own side, where nothing is resized, the values are those of its scores."""
    images = [noise(seed).resize((32, 32)) for seed in range(3)]
    judge = reward("clip", checkpoint=str(clip)).build()
    seen = torch.stack([torch.from_numpy(np.asarray(image) / np.float32(255)).permute(2, 0, 1) for image in images])
    values, gradient = judge.gradient("image", seen, ["a red cube"] * 3)
    scores = judge.score([drawn(Medium("image", image)) for image in images])
    assert values.clamp(min=0).tolist() == pytest.approx(scores, abs=1e-5)
    model, processor = CLIPModel.from_pretrained(clip).eval(), CLIPImageProcessor.from_pretrained(clip)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (processor.image_mean, processor.image_std))
    leaf, words = seen.clone().requires_grad_(), tiny_tokenizer()(["a red cube"], return_tensors="pt")
    own = model(input_ids=words["input_ids"], attention_mask=words["attention_mask"], pixel_values=(leaf - mean) / std)
    cosines = own.logits_per_image[:, 0] / model.logit_scale.exp()
    (expected,) = torch.autograd.grad(2.5 * cosines.sum(), leaf)
    assert (gradient - expected).abs().max() < 1e-3 * expected.abs().max()
    with pytest.raises(DataError, match="found video to follow a gradient to; there is one of pictures alone"):
        judge.gradient("video", seen[:, None], ["a red cube"] * 3)


def test_clip_of_what_was_said_and_what_is_lacking(clip):
    shown = Conversation((Turn("user", (Medium("image", noise(0)), Text("Describe it."))),), "shown")
    says = reward("clip", checkpoint=str(clip), of="shown").build()
    value, nothing = says.judge([Answered(shown, (Text("a cube"),)), Answered(shown, (Text(" "),))])
    assert value.value is not None and nothing.value == 0.0
    (blind,) = says.judge([drawn(Medium("image", noise(1)))])
    assert not blind.applies and blind.why == "no image was shown"
    made = reward("clip", checkpoint=str(clip)).build()
    bare = Answered(shown, (Text("No."),))
    assert made.judge([bare])[0].value == 0.0
    other = drawn(Medium("image", noise(2)), captions=["two blue circles"])
    assert made.score([other]) != made.score([drawn(Medium("image", noise(2)))])
    told = reward("clip", checkpoint=str(clip), fact="wanted").build()
    assert not told.judge([other])[0].applies
    with pytest.raises(RecipeError, match="has no tiny form"):
        reward("clip", checkpoint=str(clip), of="shown").tiny()
    tiny = reward("clip", checkpoint=str(clip), weight=0.5).tiny()
    assert (tiny.kind, tiny.weight) == ("compressibility", 0.5)


def test_clap_hears_what_was_made(tmp_path):
    tokenizer = tiny_tokenizer()
    folder = tiny_clap(tmp_path, words=len(tokenizer))
    tokenizer.save_pretrained(folder)
    config = reward("clap", checkpoint=str(folder))
    sounds = [Sound(np.random.default_rng(n).normal(0, 0.1, 16_000).astype(np.float32), 16_000) for n in range(3)]
    answers = [drawn(Medium("audio", sound)) for sound in sounds]
    found = config.build().score(answers)
    assert len({*found}) > 1 and all(-1 <= value <= 1 for value in found)


@pytest.fixture(scope="module")
def yolos(tmp_path_factory):
    """Sees a cube in each of its three detection tokens, whatever it looks at."""
    folder = tmp_path_factory.mktemp("yolos")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    names = {0: "Cube", 1: "ball"}
    torch.manual_seed(0)
    model = YolosForObjectDetection(
        YolosConfig(
            **sizes,
            image_size=[32, 32],
            patch_size=16,
            num_detection_tokens=3,
            id2label=names,
            label2id={"Cube": 0, "ball": 1},
        )
    )
    with torch.no_grad():
        model.class_labels_classifier.layers[-1].bias.copy_(torch.tensor([9.0, -9.0, -9.0]))
    model.save_pretrained(folder)
    YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 32}).save_pretrained(folder)
    return str(folder)


class TestDetector:
    def test_it_counts_what_is_found(self, yolos):
        config = reward("detector", checkpoint=yolos)
        picture = Medium("image", noise(0))
        wants = [["cube"], ["cube", "ball"], {"cube": 3}, {"cube": 4}, "ball"]
        answers = [drawn(picture, objects=one) for one in wants]
        judged = config.build().judge(answers)
        assert [one.value for one in judged] == [1.0, 0.5, 1.0, 0.0, 0.0] and judged[0].why == "found 3 cube"
        assert reward("detector", checkpoint=yolos, exact=True).build().score(answers) == [0.0, 0.0, 1.0, 0.0, 0.0]
        check_reward(config, answers)

    def test_what_is_lacking_or_damaged_is_said(self, yolos):
        found = reward("detector", checkpoint=yolos).build()
        bare = Answered(Conversation((Turn("user", (Text("Draw."),)),), "asked"), (Text("No."),), {"objects": "cube"})
        assert found.judge([bare])[0].value == 0.0
        assert not found.judge([drawn(Medium("image", noise(0)))])[0].applies
        for objects in ({"cube": "two"}, [1]):
            with pytest.raises(DataError, match="asked: found the objects"):
                found.judge([drawn(Medium("image", noise(0)), objects=objects)])
