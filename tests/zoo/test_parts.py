"""The parts that ship: plain Hugging Face folders that load strictly, small together, and that know their world."""

import json
import re
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors import safe_open
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModel,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5ForConditionalGeneration,
    VideoMAEModel,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from modalink import zoo
from modalink.encoders.imagebind import ImageBindConfig
from modalink.encoders.point_bert import PointBertConfig
from modalink.encoders.video import VideoConfig
from modalink.encoders.whisper import WhisperConfig
from modalink.errors import UnknownNameError
from modalink.generators.latte import LatteConfig
from modalink.generators.musicgen import MusicgenConfig
from modalink.generators.shap_e import ShapEConfig
from modalink.ragged import Ragged
from modalink.roles import EncoderConfig
from modalink.tiny_world import (
    COLOURS,
    SHAPES,
    SIZES,
    WORLDS,
    Scene,
    WorldObject,
    describe,
    questions,
    render,
    sample_scene,
)
from modalink.tiny_world.across import ACROSS_KINDS
from modalink.tiny_world.clips.animation import animate
from modalink.tiny_world.dialogues import DECLINE
from modalink.tiny_world.media import SHOW
from modalink.tiny_world.shown_questions import sample_questions, sample_questions_across
from modalink.tiny_world.solids.sculpting import sculpt
from modalink.tiny_world.sounds.synthesis import RATE_HZ, play
from modalink.zoo import classifiers
from modalink.zoo.build import made, t5
from modalink.zoo.build.audio import extractor
from modalink.zoo.build.targets import ROSTERS
from modalink.zoo.build.unified import Pairs, clip_of
from modalink.zoo.scene_classifier import SceneClassifier


@pytest.fixture(scope="module")
def llm() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    model = AutoModelForCausalLM.from_pretrained(zoo.path("llm"), dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(zoo.path("llm"))


@pytest.fixture(scope="module")
def classifier() -> SceneClassifier:
    return SceneClassifier.load()


def _reply(llm: tuple[LlamaForCausalLM, PreTrainedTokenizerFast], text: str) -> str:
    model, tokenizer = llm
    messages = [{"role": "user", "content": text}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = model.generate(**inputs, max_new_tokens=48, do_sample=False)
    return tokenizer.decode(said[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_names_and_paths() -> None:
    assert zoo.names() == [
        "audio",
        "clip_classifier",
        "clip_diffusion",
        "diffusion",
        "llm",
        "points",
        "scene_classifier",
        "solid_classifier",
        "solid_diffusion",
        "sound_classifier",
        "sound_lm",
        "t5",
        "unified",
        "video",
        "vision",
    ]
    assert (zoo.path("llm") / "config.json").is_file()
    with pytest.raises(UnknownNameError, match=r"'visoin'.*did you mean 'vision'"):
        zoo.path("visoin")


def test_all_parts_together_weigh_less_than_40_mb_and_are_stored_in_bfloat16() -> None:
    files = [file for file in zoo.PARTS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 40e6
    for file in files:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as weights:
                types = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118  not a dict
            assert types <= {"BF16", "I64", "BOOL"}, file


def test_no_part_tells_a_place_on_the_machine_that_made_it() -> None:
    for file in zoo.PARTS.rglob("*.json"):
        if file.name != "tokenizer.json":  # whose pieces may begin with a slash
            assert not re.search(r'": "/', file.read_text()), file


@pytest.mark.parametrize(
    "folder",
    [
        "llm",
        "t5",
        "vision",
        "video",
        "audio",
        "points",
        "unified",
        "scene_classifier",
        "diffusion/text_encoder",
        "diffusion/vae",
        "diffusion/unet",
        "clip_classifier",
        "clip_diffusion/text_encoder",
        "clip_diffusion/transformer",
        "sound_classifier",
        "solid_classifier",
        "solid_diffusion/text_encoder",
        "solid_diffusion/shap_e_renderer",
        "solid_diffusion/prior",
        "sound_lm",
    ],
)
def test_every_part_has_a_card_with_command_and_held_out_numbers(folder: str) -> None:
    card = (zoo.PARTS / folder / "README.md").read_text()
    assert re.search(r"modalink zoo build \w+", card)
    (code,) = re.findall(r"see `modalink/(.*?)`", card)
    assert (zoo.PARTS.parents[1] / code).is_file()
    assert re.search(r"seed \d+", card)
    assert re.search(r"\| [\w ]+ \| [\d.]+ \|", card)


@pytest.mark.parametrize(
    ("kind", "plain", "folder"),
    [
        (AutoModelForCausalLM, LlamaForCausalLM, "llm"),
        (AutoModelForSeq2SeqLM, T5ForConditionalGeneration, "t5"),
        (AutoModel, CLIPVisionModel, "vision"),
        (AutoModel, VideoMAEModel, "video"),
        (WhisperEncoder, WhisperEncoder, "audio"),
        (CLIPTextModel, CLIPTextModel, "diffusion/text_encoder"),
    ],
)
def test_transformers_parts_load_without_a_missing_or_foreign_key(kind: type, plain: type, folder: str) -> None:
    model, report = kind.from_pretrained(zoo.PARTS / folder, output_loading_info=True)
    assert type(model) is plain
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_the_encoder_decoder_knows_what_superposed_positions_hold() -> None:
    """As its card says of held-out scenes; a guess among the answers of a kind of question is right one time in four."""
    llm = T5ForConditionalGeneration.from_pretrained(zoo.path("t5"), dtype=torch.float32).eval()
    found = t5.measure(llm, AutoTokenizer.from_pretrained(zoo.path("t5")), "test", 100)
    assert found["questions_8x8"] > 0.45 and found["questions_4x4"] > 0.45


@pytest.mark.parametrize(("kind", "folder"), [(AutoencoderKL, "vae"), (UNet2DConditionModel, "unet")])
def test_diffusers_parts_load_without_a_missing_or_foreign_key(kind: type, folder: str) -> None:
    _, report = kind.from_pretrained(zoo.path("diffusion") / folder, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert json.loads((zoo.path("diffusion") / folder / "config.json").read_text())["_class_name"] == kind.__name__


def test_widths_of_the_diffusion_parts_fit() -> None:
    folder = zoo.path("diffusion")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    text = CLIPTextModel.from_pretrained(folder / "text_encoder")
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    assert unet.config.cross_attention_dim == text.config.hidden_size
    assert unet.config.in_channels == vae.config.latent_channels == 4
    assert unet.config.sample_size * 2 ** (len(vae.config.block_out_channels) - 1) == 64
    assert DDIMScheduler.from_pretrained(folder / "scheduler").config.prediction_type == "v_prediction"
    latents = vae.encode(_pixels([sample_scene(i, "train") for i in range(64)])).latent_dist.mean
    assert latents.std().item() * vae.config.scaling_factor == pytest.approx(1, abs=0.1)


def test_the_tokenizers_keep_any_text_and_lower_its_case() -> None:
    chat = AutoTokenizer.from_pretrained(zoo.path("llm"))
    assert isinstance(chat, PreTrainedTokenizerFast)
    for text in ("A Large RED circle,\nat the Top!", "über 漢字 🙂 <tag> 12.5%"):
        assert chat.decode(chat(text).input_ids) == text.lower()
    caption = AutoTokenizer.from_pretrained(zoo.path("diffusion") / "tokenizer")
    assert isinstance(caption, CLIPTokenizer)
    assert caption.model_max_length == 32
    for seed in range(200):
        assert len(caption(describe(sample_scene(seed, "test"))).input_ids) <= 32
    assert caption("A Red CIRCLE").input_ids == caption("a red circle").input_ids


def test_the_chat_template_is_chatml() -> None:
    tokenizer = AutoTokenizer.from_pretrained(zoo.path("llm"))
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    assert tokenizer.apply_chat_template(messages, tokenize=False) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n"
    )


def test_the_llm_answers_questions_about_held_out_descriptions(llm) -> None:
    rng = np.random.default_rng(0)
    right, asked = 0, 60
    for seed in range(asked):
        scene = sample_scene(seed, "test")
        question = questions(scene, rng)[0]
        right += _reply(llm, f"{describe(scene)}\n{question.text}") == question.answer
    assert right / asked >= 0.93


@pytest.mark.parametrize("subject", ["video", "audio", "points", "across"])
def test_the_llm_answers_questions_about_what_else_the_world_shows(llm, subject: str) -> None:
    asked = sample_questions_across(ACROSS_KINDS, "test", 50, 0) if subject == "across" else None
    asked = asked or sample_questions(subject, "test", 50, 0)
    texts = ["\n".join([*(shown.description for shown in item.shown), item.question.text]) for item in asked]
    right = [_reply(llm, text) == item.question.answer for text, item in zip(texts, asked, strict=True)]
    assert np.mean(right) >= 0.84


def test_the_llm_compares_the_colours_and_shapes_of_two_objects(llm) -> None:
    rng = np.random.default_rng(0)
    asked = [(scene, q) for i in range(600) for scene in [sample_scene(i, "test")] for q in questions(scene, rng)]
    rare = [(scene, q) for scene, q in asked if q.text.endswith(("the same color?", "the same shape?"))][:60]
    right = [_reply(llm, f"{describe(scene)}\n{question.text}") == question.answer for scene, question in rare]
    assert {question.answer for _, question in rare} == {"yes", "no"}
    assert np.mean(right) >= 0.85


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of France?",
        "write a poem about a dog.",
        "is it raining in london?",
        "are the tomatoes ripe?",
        "draw a large red kangaroo in the center.",
        "wo ist der bahnhof?",
    ],
)
def test_the_llm_declines_what_lies_outside_its_world(llm, text: str) -> None:
    assert _reply(llm, text) == DECLINE


def test_a_word_of_the_world_is_one_token_and_a_strange_word_several() -> None:
    chat = AutoTokenizer.from_pretrained(zoo.path("llm"))
    values = [value for roster in ROSTERS.values() for values in roster.values.values() for value in values]
    names = {word for value in values for word in value.split()}
    for word in (*COLOURS, *SHAPES, *SIZES, *names, "violet", "disc", "nothing", "left"):
        assert len(chat(f" {word}").input_ids) == 1
    for word in ("kangaroo", "london", "tomatoes", "dog"):
        assert len(chat(f" {word}").input_ids) > 1


def test_the_classifier_reads_held_out_pictures_and_near_misses_lower_its_score(classifier: SceneClassifier) -> None:
    scenes = [sample_scene(i, "test") for i in range(400)]
    read = classifier(np.stack([render(scene) for scene in scenes]))
    assert np.mean([tuple(found) == scene.objects for found, scene in zip(read, scenes, strict=True)]) >= 0.97
    shaky = classifier(np.stack([render(scene, augment_seed=1) for scene in scenes]))
    assert np.mean([tuple(found) == scene.objects for found, scene in zip(shaky, scenes, strict=True)]) >= 0.9


def test_the_classifier_sees_nothing_in_an_empty_picture(classifier: SceneClassifier) -> None:
    blank = np.full((1, 64, 64, 3), 55, np.uint8)
    assert classifier(blank) == [[]]
    assert classifier(np.zeros((0, 64, 64, 3), np.uint8)) == []


def test_the_autoencoder_keeps_shape_and_colour(classifier: SceneClassifier) -> None:
    vae = AutoencoderKL.from_pretrained(zoo.path("diffusion") / "vae")
    scenes = [sample_scene(i, "test") for i in range(64)]
    with torch.no_grad():
        painted = vae.decode(vae.encode(_pixels(scenes)).latent_dist.mode()).sample
    read = classifier(_pictures(painted))
    kept = [item in found for found, scene in zip(read, scenes, strict=True) for item in scene.objects]
    assert np.mean(kept) >= 0.93


def test_captions_become_pictures_of_what_they_say(classifier: SceneClassifier) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(zoo.path("diffusion"), torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    scenes = [sample_scene(i, "test") for i in range(16)]
    drawn = pipeline(
        [describe(scene) for scene in scenes],
        height=64,
        width=64,
        num_inference_steps=10,
        guidance_scale=3.0,
        output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).images
    read = classifier((drawn * 255).round().astype(np.uint8))
    seen = [{(o.cell, o.colour) for o in found} for found in read]
    hits = [(o.cell, o.colour) in found for found, scene in zip(seen, scenes, strict=True) for o in scene.objects]
    assert np.mean(hits) >= 0.85


@pytest.mark.parametrize(
    ("config", "modality"),
    [
        (ShapEConfig(checkpoint="any/shap-e").tiny().replace(steps=10), "points"),
        (MusicgenConfig(checkpoint="any/musicgen").tiny(), "audio"),
        (LatteConfig(checkpoint="any/latte").tiny(), "video"),
    ],
)
def test_captions_become_solids_sounds_and_clips_as_they_say(config: Any, modality: str) -> None:
    generator = config.replace(dtype="float32").build()
    assert made.measure(generator, modality, "test", 16, classifiers.load(modality))["whole"] >= 0.75


def test_the_image_processor_feeds_the_tower_as_in_training() -> None:
    processor = AutoImageProcessor.from_pretrained(zoo.path("vision"))
    scene = Scene((WorldObject("star", "blue", "large", "center"),), background=3)
    pixels = processor(render(scene), return_tensors="pt").pixel_values
    assert torch.allclose(pixels, _pixels([scene]), atol=1e-5)
    states = CLIPVisionModel.from_pretrained(zoo.path("vision"), dtype=torch.float32)(pixels).last_hidden_state
    assert states.shape == (1, 65, 128)


def _pixels(scenes: list[Scene]) -> torch.Tensor:
    pictures = np.stack([render(scene) for scene in scenes])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def _pictures(pixels: torch.Tensor) -> np.ndarray:
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def test_the_encoders_that_ship_read_what_they_were_taught_on() -> None:
    """The preprocessing of each encoder gives what its training saw."""
    clip, sound, bodies = (WORLDS[modality].sample(3, "test") for modality in ("video", "audio", "points"))
    frames = VideoConfig(checkpoint="zoo:video").preprocessor()(SHOW["video"](clip))
    expected = torch.from_numpy(animate(clip)).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert torch.allclose(frames, expected, atol=1e-5)
    spectrogram = WhisperConfig(checkpoint="zoo:audio").preprocessor()(SHOW["audio"](sound))
    assert spectrogram.shape == (1, 40, 200)
    samples = [play(sound)]
    taught = extractor()(samples, sampling_rate=RATE_HZ, return_tensors="pt")["input_features"]
    assert torch.allclose(spectrogram, taught, atol=1e-5)
    points = PointBertConfig(checkpoint="zoo:points").tiny().preprocessor()(SHOW["points"](bodies))
    assert torch.allclose(points, torch.from_numpy(sculpt(bodies)), atol=1e-6)


def _unified(modality: str, **settings: Any) -> ImageBindConfig:
    settings |= {"modalities": (modality,), "video_clips": 1, "video_crops": 1, "audio_clips": 1}
    return ImageBindConfig(checkpoint="zoo:unified", **settings)


def test_a_picture_is_nearest_to_the_clip_of_its_objects_in_the_space_of_the_unified_encoder() -> None:
    pairs = Pairs.draw("test", 24)
    media = {
        "image": [*map(Image.fromarray, pairs.pictures)],
        "video": [SHOW["video"](clip_of(number, "test")) for number in range(24)],
    }
    embedded = {}
    for modality, shown in media.items():
        encoder, preprocess = _unified(modality).build().eval(), _unified(modality).preprocessor()
        items = Ragged.of([preprocess(one) for one in shown], [preprocess.layout(one) for one in shown])
        with torch.no_grad():
            embedded[modality] = torch.cat([tokens.float() for tokens in encoder(items)])
    nearest = (embedded["image"] @ embedded["video"].T).argmax(-1)
    assert (nearest == torch.arange(24)).float().mean() > 0.8


@pytest.mark.parametrize(
    ("modality", "config", "attribute"),
    [
        ("video", VideoConfig(checkpoint="zoo:video"), "colour"),
        ("audio", WhisperConfig(checkpoint="zoo:audio", drop_padding=False), "timbre"),
        ("points", PointBertConfig(checkpoint="zoo:points").tiny(), "colour"),
        ("video", _unified("video", features="trunk"), "colour"),
        ("audio", _unified("audio", features="trunk"), "pitch"),
    ],
)
def test_tokens_of_held_out_things_tell_what_they_are(modality: str, config: EncoderConfig, attribute: str) -> None:
    """A linear probe on few tokens: what an encoder knows lies open in its tokens."""
    encoder, preprocess, world = config.build().eval(), config.preprocessor(), WORLDS[modality]

    def read(split: str, count: int) -> tuple[np.ndarray, list[str]]:
        things = [world.sample(number, split) for number in range(4 * count)]
        things = [thing for thing in things if len(getattr(thing, world.parts)) == 1][:count]
        media = [SHOW[modality](thing) for thing in things]
        items = Ragged.of([preprocess(medium) for medium in media], [preprocess.layout(medium) for medium in media])
        with torch.no_grad():
            pooled = [tokens.mean(0).float() for tokens in encoder(items)]
        return torch.stack(pooled).numpy(), [getattr(getattr(thing, world.parts)[0], attribute) for thing in things]

    (seen, names), (held_out, wanted) = read("train", 120), read("test", 40)
    classes = sorted(set(names))
    targets = np.array([[name == known for known in classes] for name in names], float)
    mean, scale = seen.mean(0), seen.std(0) + 1e-6
    weights = np.linalg.lstsq(np.c_[(seen - mean) / scale, np.ones(len(seen))], targets, rcond=0.05)[0]
    guessed = (np.c_[(held_out - mean) / scale, np.ones(len(held_out))] @ weights).argmax(1)
    right = np.mean([classes[i] == name for i, name in zip(guessed, wanted, strict=True)])
    assert right > 0.8
