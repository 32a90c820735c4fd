"""LLaVA by transformers and imported: the same inputs, logits and words."""

import pytest
import torch

from modalink.errors import PartError
from modalink.interop.importing import recipe_of
from modalink.testing.released import tiny_llava


@pytest.fixture(params=["clip", "siglip"])
def llava(request, tmp_path, pair):
    return pair(tiny_llava(tmp_path, tower=request.param))


@pytest.mark.parametrize(
    ("texts", "counts"),
    [
        (["USER: <image>\nWhat is it? ASSISTANT:"], [1]),
        (["USER: <image>\nOne. <image>\nTwo. ASSISTANT:"], [2]),
        (["USER: No picture at all. ASSISTANT:"], []),
        (["USER: <image>\nWhat is it? ASSISTANT:", "USER: Which is larger, <image> or <image>? ASSISTANT:"], [1, 2]),
    ],
)
def test_inputs_logits_and_words_are_those_of_transformers(llava, pictures, texts, counts):
    shown = iter(pictures)
    media = {"images": [[next(shown) for _ in range(count)] for count in counts]} if counts else {}
    theirs, ours = llava.inputs(texts, **media)
    assert torch.equal(theirs["input_ids"], ours["input_ids"])
    assert torch.equal(theirs["attention_mask"], ours["attention_mask"])
    if counts:
        assert torch.equal(theirs["pixel_values"], ours["pixel_values"])
    assert llava.difference(theirs, ours) <= 1e-9
    found, needed = llava.generated(theirs, ours)
    assert found == needed and len({*needed}) == len(texts)


def test_the_chat_template_is_the_checkpoints(tmp_path, pair, pictures):
    """Media before the words of their turn, wherever they stood; what the assistant says ends with its own sign."""
    llava = pair(tiny_llava(tmp_path))
    shown = {"type": "image", "image": pictures[0]}
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "What is"}, shown, {"type": "text", "text": "this?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A cube."}]},
        {"role": "user", "content": [shown, {"type": "text", "text": "And this? "}]},
    ]
    needed = llava.processor.apply_chat_template(
        talk, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    ours = llava.system.processor(talk)
    assert torch.equal(ours["input_ids"], needed["input_ids"])
    assert torch.equal(ours["pixel_values"], needed["pixel_values"])


FORMS = {
    "all tokens of the last layer": {
        "vision_feature_select_strategy": "full",
        "vision_feature_layer": -1,
        "projector_hidden_act": "relu",
        "multimodal_projector_bias": False,
    },
    "three layers": {"vision_feature_layer": [-2, 1, -1]},
}


@pytest.mark.parametrize("settings", FORMS.values(), ids=FORMS)
def test_other_forms_are_imported_too(tmp_path, pair, pictures, settings):
    folder = tiny_llava(tmp_path, **settings)
    llava = pair(folder)
    theirs, ours = llava.inputs(["<image>\nWhat?"], images=[pictures[:1]])
    assert torch.equal(theirs["input_ids"], ours["input_ids"]) and llava.difference(theirs, ours) <= 1e-9


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param(
            {"vision_feature_layer": []},
            r"found vision_feature_layer \[\] in its config.*needed one layer, or a list",
            marks=pytest.mark.filterwarnings("ignore:Initializing zero-element tensors"),
        ),
        (
            {"projector_hidden_act": "tanh"},
            "found projector_hidden_act 'tanh' .*needed one of gelu, silu, relu, linear",
        ),
        (
            {"tower": "siglip", "vision_feature_select_strategy": "default"},
            "found vision_feature_select_strategy 'default' .*needed 'full', for its tower has no class token",
        ),
    ],
)
def test_forms_without_parts_here_are_refused(tmp_path, settings, says):
    folder = tiny_llava(tmp_path, **settings)
    with pytest.raises(PartError, match=says):
        recipe_of(str(folder))
