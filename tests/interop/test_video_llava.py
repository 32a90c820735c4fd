"""Video-LLaVA by transformers and imported: two towers in one checkpoint, and maps that stand here twice."""

import torch

from modalink.interop.importing import family_of, read_source
from modalink.testing.released import tiny_video_llava


def test_inputs_logits_and_words_are_those_of_transformers(tmp_path, pair, pictures):
    both = pair(tiny_video_llava(tmp_path))
    clips = [torch.randint(0, 256, (8, 28, 28, 3), dtype=torch.uint8).numpy() for _ in range(2)]
    texts = ["USER: <video>\nAnd <image>? ASSISTANT:", "USER: <image> or <video>? ASSISTANT:"]
    theirs, ours = both.inputs(texts, images=[pictures[:1], pictures[1:2]], videos=[clips[:1], clips[1:]])
    assert torch.equal(theirs["input_ids"], ours["input_ids"])
    assert torch.equal(theirs["pixel_values_images"], ours["pixel_values"])
    assert both.difference(theirs, ours) <= 1e-9
    theirs, ours = both.inputs(texts[:1], images=[pictures[:1]], videos=[clips[:1]])
    found, needed = both.generated(theirs, ours)
    assert found == needed


def test_each_tower_is_its_own_and_the_maps_are_the_same(tmp_path, pair):
    both = pair(tiny_video_llava(tmp_path))
    source = read_source(str(tmp_path))
    names = family_of(source).names(source)
    theirs = both.native.state_dict()
    for name, tensor in both.system.model.state_dict().items():
        assert torch.equal(tensor, theirs[names.there(name)]), name
    image, video = (both.system.model.model.encoders[modality].tower for modality in ("image", "video"))
    assert not torch.equal(image.embeddings.class_embedding, video.embeddings.class_embedding)
