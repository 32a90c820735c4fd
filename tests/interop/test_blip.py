"""BLIP-2 and InstructBLIP by transformers and imported, with decoders and encoder-decoders."""

import pytest
import torch

from modalink.model import System
from modalink.testing.released_blip import tiny_blip


@pytest.mark.parametrize(
    ("llm", "instruct"), [("opt", False), ("t5", False), ("llama", True), ("t5", True)], ids=lambda value: str(value)
)
def test_inputs_logits_and_words_are_those_of_transformers(tmp_path, pair, pictures, llm, instruct):
    both = pair(tiny_blip(tmp_path / "source", llm=llm, instruct=instruct))
    theirs, ours = both.inputs(["<image>Question: what? Answer:"], images=[pictures[1:2]])
    assert torch.equal(theirs["input_ids"], ours["input_ids"])
    assert torch.equal(theirs["pixel_values"], ours["pixel_values"])
    assert both.difference(theirs, ours) <= 1e-9
    theirs, ours = both.inputs(["<image>What?", "<image>Which is larger?"], images=[pictures[:1], pictures[1:2]])
    if instruct:
        there = theirs["qformer_attention_mask"].bool()
        assert torch.equal(theirs["qformer_input_ids"][there], ours["pixel_values_texts"].values)
    assert both.difference(theirs, ours) <= 1e-9
    found, needed = both.generated(theirs, ours)
    assert found == needed


@pytest.mark.parametrize("llm", ["llama", "t5"])
def test_videos_go_through_tower_and_queries_frame_by_frame(tmp_path, pair, llm):
    both = pair(tiny_blip(tmp_path / "source", llm=llm, video=True))
    clips = [torch.randint(0, 256, (4, 28, 28, 3), dtype=torch.uint8).numpy() for _ in range(2)]
    theirs, ours = both.inputs(["<video>Question: what? Answer:"], videos=[clips[:1]])
    assert torch.equal(theirs["input_ids"], ours["input_ids"])
    assert both.difference(theirs, ours) <= 1e-9
    theirs, ours = both.inputs(["<video>What?", "<video>Which is larger?"], videos=[clips[:1], clips[1:]])
    assert both.difference(theirs, ours) <= 1e-9
    found, needed = both.generated(theirs, ours)
    assert found == needed and found[0] != found[1]


def test_it_is_saved_by_reference_and_loaded_again(tmp_path, pair, pictures):
    both = pair(tiny_blip(tmp_path / "source", instruct=True, llm="llama"))
    both.system.save(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("*.safetensors"))
    again = System.load(tmp_path / "saved")
    inputs = again.processor(text=["<image>What is it?"], images=pictures[:1], return_tensors="pt")
    assert torch.equal(again.model(**inputs).logits, both.system.model(**inputs).logits)
    talk = [{"role": "user", "content": [{"type": "image", "image": pictures[0]}, {"type": "text", "text": "What?"}]}]
    assert again.processor(talk)["input_ids"][0, :5].tolist() == [again.processor.image_token_id] * 5
