"""Regions of pictures become text by the recipe's codec, and replies become regions."""

import pytest
from PIL import Image
from transformers import CLIPImageProcessorPil

from modalink import prompts
from modalink.conversation import Conversation, Medium, Region, Text, Turn
from modalink.encoders._images import ImagePreprocessor
from modalink.errors import MediumError, PromptError
from modalink.inference import Session
from modalink.model import compose
from modalink.model.compose import skeleton
from modalink.model.regions import Regions
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama

CLIP = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
WIDE, HIGH = (Medium("image", Image.new("RGB", size)) for size in ((400, 200), (100, 200)))
BOX = (100, 50, 300, 150)


def regions(name="shikra", pad=True, **uses):
    reader = ImagePreprocessor(CLIP, pad_to_square=pad)
    return Regions(name and prompts.codec(name), {"image": reader}, lambda *_: uses.get("use", "read"))


def talk(*pieces):
    return Conversation((Turn("user", pieces), Turn("assistant", (Text("Yes."),))), "mail 3")


def text(codec, *pieces):
    return codec.written(talk(*pieces)).turns[0].text


def test_boxes_count_in_what_the_encoder_sees():
    pieces = (WIDE, Text("What is in "), Region((BOX,)), Text("?"))
    assert text(regions(), *pieces) == "What is in [0.250,0.375,0.750,0.625]?"
    assert text(regions(pad=False), *pieces) == "What is in [0.000,0.250,1.000,0.750]?"
    assert text(regions("cogvlm"), *pieces) == "What is in [[250,250,750,750]]?"


def test_a_region_is_of_the_last_picture_or_of_the_one_it_names():
    shares = Region(((0, 0, 0.5, 1),), shares=True)
    assert text(regions("thousand"), WIDE, HIGH, shares, Region((BOX,), image=0)) == (
        "[0, 0, 500, 1000][250, 250, 750, 750]"
    )
    assert text(regions("pixel"), WIDE, Region((BOX,)), HIGH, shares) == "[100, 50, 300, 150][0, 0, 50, 200]"


def test_annotators_boxes_end_a_little_behind_the_edge():
    assert text(regions("pixel"), WIDE, Region(((0, 0, 401.5, 200),))) == "[0, 0, 400, 200]"


def test_a_conversation_without_regions_stays_as_it_is_and_opens_nothing():
    conversation = talk(Medium("image", "gone.png"), Text("What?"))
    assert regions().written(conversation) is conversation
    with pytest.raises(MediumError, match=r"mail 3: gone\.png"):
        text(regions(), Medium("image", "gone.png"), Region((BOX,)))


@pytest.mark.parametrize(
    ("name", "pieces", "message"),
    [
        (None, (WIDE, Region((BOX,))), r"no coordinate codec that writes it; .*prompt: \{coordinates: llava-1.5\}"),
        ("shikra", (Region((BOX,)), WIDE), "found a region of image None, needed a picture before it"),
        ("shikra", (WIDE, Region((BOX,), image=1)), "found a region of image 1, needed one of 1 before it, from 0"),
        ("shikra", (HIGH, Region((BOX,))), r"found the area \[100, 50, 300, 150\] beyond the picture of 100 x 200 px"),
        ("cogvlm", (WIDE, Region(((1, 2),))), "has no form for a point"),
        ("shikra", (HIGH, Region(((0, 0, 2, 1),), shares=True)), r"found the area \[0, 0, 2, 1\] beyond"),
    ],
)
def test_what_cannot_be_written_is_refused_with_its_sample(name, pieces, message):
    with pytest.raises(PromptError, match=f"mail 3: .*{message}"):
        text(regions(name), *pieces)


def test_a_reply_is_about_the_last_picture_that_is_read():
    reply = "a cat [0.250,0.375,0.750,0.625] and [0.1]"
    parsed = regions().read(reply, talk(HIGH, WIDE))
    assert parsed.regions == (Region((BOX,)),) and len(parsed.unread) == 1
    assert regions().read(reply, talk(Text("What?"))) == prompts.Parsed()
    assert regions(None).read(reply, talk(WIDE)) == prompts.Parsed()
    assert regions(use="made").read(reply, talk(WIDE)) == prompts.Parsed()


def test_tags_become_tokens_that_answers_keep(tmp_path):
    """`<box>` is one token in prompts and replies; without add_tokens it is words, as in a released checkpoint."""
    encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(tmp_path / "vision"))}
    prompt = {"template": "vicuna-v1.1", "coordinates": "qwen-vl", "add_tokens": True}
    data = {
        "inputs": {"image": {"encoder": encoder, "projector": {"kind": "linear"}}},
        "llm": {"checkpoint": str(tiny_llama(tmp_path / "llm"))},
        "prompt": prompt,
    }
    spec = SystemSpec.model_validate(data)
    system = compose(spec)
    tags, tokenizer = prompts.codec("qwen-vl").tags, system.processor.tokenizer
    ids = system.processor.prepare(talk(WIDE, Text("What is "), Region((BOX,), "it"))).input_ids
    for tag in ("<ref>", "</ref>", "<box>", "</box>"):
        assert tokenizer.convert_tokens_to_ids(tag) in ids
    assert "<ref>it</ref><box>(250,250),(749,749)</box>" in tokenizer.decode(ids, skip_special_tokens=True).replace(
        " ", ""
    )
    assert system.model.config.prompt_tokens == tokenizer.convert_tokens_to_ids([*tags])
    shapes = {name: tensor.shape for name, tensor in system.model.named_parameters()}
    assert shapes == {name: tensor.shape for name, tensor in skeleton(spec).named_parameters()}
    given = {"image": WIDE.source, "regions": [Region((BOX,))], "max_new_tokens": 3}
    answer = Session(system).ask("What is in <bbox>?", **given)
    assert answer.conversation.turns[0].content[1:] == (Text("What is in "), Region((BOX,)), Text("?"))
    assert answer.annotated() is None and answer.regions == ()
    with pytest.raises(ValueError, match="coordinate codec 'qwen'"):
        compose(spec.model_copy(update={"prompt": spec.prompt.replace(coordinates="qwen")}))
