"""The composed model equals the native models that it generalises, bit for bit, on the same weights."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Blip2Config,
    Blip2ForConditionalGeneration,
    CLIPVisionModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from modalink.model import compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_eva_g, tiny_llama, tiny_opt, tiny_t5


def _llava(system, vision, llm):
    """A native LLaVA with the composed model's weights."""
    tower, text = CLIPVisionModel.from_pretrained(vision), AutoModelForCausalLM.from_pretrained(llm)
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=text.config,
        image_token_index=system.model.config.placeholders["image"],
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )
    native = LlavaForConditionalGeneration(config).eval()
    native.model.vision_tower.load_state_dict(tower.state_dict())
    native.model.language_model.load_state_dict(text.model.state_dict())
    native.lm_head.load_state_dict(text.lm_head.state_dict())
    ours = list(system.model.model.input_projectors["image"].parameters())
    theirs = list(native.model.multi_modal_projector.parameters())
    for target, source in zip(theirs, ours, strict=True):
        target.data.copy_(source.data)
    return native


@pytest.fixture
def llava(tmp_path):
    vision = tiny_clip_vision(tmp_path / "vision")
    llm = tiny_llama(tmp_path / "llm")
    spec = SystemSpec.model_validate(
        {
            "inputs": {
                "image": {
                    "encoder": {"kind": "vision", "checkpoint": str(vision), "layer": -2},
                    "projector": {"kind": "mlp", "layers": 2},
                }
            },
            "llm": {"checkpoint": str(llm)},
            "prompt": {"template": "vicuna-v1.1"},
        }
    )
    system = compose(spec)
    # A native LLaVA keeps its image token inside the vocabulary: let both use the same ordinary token for it.
    system.model.config.placeholders = {"image": 7}
    return system, _llava(system, vision, llm)


def _inputs():
    torch.manual_seed(1)
    ids = torch.randint(8, 40, (2, 40))
    ids[0, 3:19] = 7
    ids[0, 21:37] = 7
    ids[1, 10:26] = 7
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    return {"input_ids": ids, "attention_mask": mask, "pixel_values": torch.randn(3, 3, 32, 32)}


def test_llava_logits_are_bit_equal(llava):
    system, native = llava
    inputs = _inputs()
    with torch.no_grad():
        assert torch.equal(system.model(**inputs).logits, native(**inputs).logits)


def test_llava_loss_and_projector_gradients_are_equal(llava):
    system, native = llava
    inputs = _inputs()
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == 7, -100)
    ours, theirs = system.model(**inputs, labels=labels).loss, native(**inputs, labels=labels).loss
    torch.testing.assert_close(ours, theirs)  # logits at labelled positions alone, and all of them
    ours.backward()
    theirs.backward()
    pairs = zip(
        system.model.model.input_projectors.parameters(), native.model.multi_modal_projector.parameters(), strict=True
    )
    for mine, its in pairs:
        torch.testing.assert_close(mine.grad, its.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"cache_implementation": "static"}, {"use_cache": False}])
def test_llava_generates_the_same_tokens(llava, options):
    system, native = llava
    inputs = _inputs()
    options = {"max_new_tokens": 8, "do_sample": False, "bad_words_ids": [[7]]} | options
    native_options = {k: v for k, v in options.items()}
    one = {"input_ids": inputs["input_ids"][:1], "attention_mask": inputs["attention_mask"][:1]}
    one["pixel_values"] = inputs["pixel_values"][:2]
    found = system.model.generate(**one, **options)
    assert torch.equal(found, native.generate(**one, **native_options))
    assert found.shape[1] > 40


@pytest.mark.parametrize("make", [tiny_opt, tiny_t5])
def test_blip2_splicing_is_bit_equal(tmp_path, make):
    """BLIP-2 puts projected queries at placeholders; so does `splice`, given the same query outputs as features."""
    vision, llm = tiny_eva_g(tmp_path / "vision"), make(tmp_path / "llm")
    spec = SystemSpec.model_validate(
        {
            "inputs": {
                "image": {
                    "encoder": {"kind": "vision", "checkpoint": str(vision), "layer": -1, "keep_cls": True},
                    "projector": {"kind": "linear"},
                }
            },
            "llm": {"checkpoint": str(llm)},
            "prompt": {"template": "question-answer"},
        }
    )
    system = compose(spec)
    system.model.config.placeholders = {"image": 7}
    auto = AutoModelForSeq2SeqLM if make is tiny_t5 else AutoModelForCausalLM
    text = auto.from_pretrained(llm)
    width = system.model.model.encoders["image"].dim
    queries_per_image = system.model.model.encoders["image"].tokens_per_block
    config = Blip2Config(
        text_config=text.config,
        vision_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 8,
        },
        qformer_config={
            "hidden_size": width,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "encoder_hidden_size": 16,
            "vocab_size": 10,
        },
        num_query_tokens=queries_per_image,
        image_token_index=7,
    )
    native = Blip2ForConditionalGeneration(config).eval()
    native.language_model = text.eval()
    native.language_projection.load_state_dict(
        dict(zip(["weight", "bias"], system.model.model.input_projectors["image"].state_dict().values(), strict=True))
    )
    pixels = torch.randn(2, 3, 16, 16)
    ids = torch.randint(8, 40, (2, 25))
    ids[:, :queries_per_image] = 7
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if make is tiny_t5:
        inputs["labels"] = torch.randint(8, 40, (2, 5))
    with torch.no_grad():
        queries = native.qformer(
            query_embeds=native.query_tokens.expand(2, -1, -1),
            encoder_hidden_states=native.vision_model(pixels).last_hidden_state,
        ).last_hidden_state
        expected = native(pixel_values=pixels, **inputs).logits
        found = system.model(features={"image": queries}, **inputs).logits
    assert torch.equal(found, expected)
