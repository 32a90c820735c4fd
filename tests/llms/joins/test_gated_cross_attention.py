"""Gated cross-attention: the authors' numbers, who reads what, and nothing at all while the gates are closed.

The numbers in `gated_cross_attention.json` are those of `GatedCrossAttentionBlock` of mlfoundations/open_flamingo at
655f693: width 16, media of width 12, two heads of 4, a feed-forward layer twice the width, the weights, text and media
of `wave`. `text` is every third channel of a pass over nine tokens, of which two a row are media; `behind` the same of
one token a row that reads the cached media.
"""

import json
from pathlib import Path

import pytest
import torch

from modalink.errors import PartError
from modalink.kinds import parse
from modalink.llms.joins._sight import Sight
from modalink.llms.joins.gated_cross_attention import GatedBlock
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.ragged import Layout, Ragged
from modalink.roles import JoinConfig, Placed, Rows
from modalink.testing.checkpoints import tiny_llama, tiny_t5

REFERENCES = json.loads(Path(__file__).with_name("gated_cross_attention.json").read_text())
AUTHORS = {"heads": 2, "head_width": 4, "feed_forward": 2, "activation": "gelu", "media_width": 12}


def config(**settings):
    return parse(JoinConfig.room, {"kind": "gated_cross_attention", **settings})


def wave(shape, number, scale=0.4):
    """Numbers between -scale and scale that any program makes alike."""
    count = torch.Size(shape).numel()
    return torch.sin(torch.arange(count, dtype=torch.float32) * (0.37 + 0.11 * number)).view(shape) * scale


def placed(starts, tokens, modality="image"):
    """Items that begin at places, one place each."""
    prompt = Ragged.of(tokens, [Layout(1, (len(item),)) for item in tokens])
    return Placed(modality, prompt, torch.tensor(starts), (1,) * len(starts), tuple(starts))


@pytest.mark.parametrize("attends", ["last", "all"])
def test_a_block_gives_the_authors_numbers(attends):
    block = GatedBlock(config(attends=attends, **AUTHORS), 16)
    state = block.state_dict()
    shapes = {name: tensor.shape for name, tensor in state.items()}
    keys, values = shapes.pop("key.weight"), shapes.pop("value.weight")
    shapes["key_value.weight"] = torch.Size([keys[0] + values[0], keys[1]])  # one matrix there
    for number, name in enumerate(sorted(shapes)):
        raised = 0.9 if "gate" in name or name.endswith("norm.weight") else 0.0
        state[name] = wave(shapes[name], number + 1) + raised
    state["key.weight"], state["value.weight"] = state.pop("key_value.weight").chunk(2)
    block.load_state_dict(state)
    text, media, behind = wave((2, 9, 16), 20, 1.0), wave((2, 2, 3, 12), 21, 1.0), wave((2, 1, 16), 22, 1.0)
    sight = Sight.of(Rows(2, 9, (9, 9)), [placed([2, 5, 9, 16], [*media.flatten(0, 1)])], None, attends)
    with torch.no_grad():
        found = block(text, sight, 0)[..., ::3]
        after = block(behind, Sight.of(Rows(2, 1, (1, 1)), [], sight.kept(), attends), 0)[:, 0, ::3]
    expected = torch.tensor(REFERENCES[attends]["text"])
    # Where all items are read, the authors' first tokens, before any item, read the mean of all that come later.
    start = 0 if attends == "last" else 2
    torch.testing.assert_close(found[0, start:], expected[0, start:], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(after, torch.tensor(REFERENCES[attends]["behind"]), rtol=0, atol=1e-5)


def _read(sight, count):
    """What each of so many tokens reads, as the first channel of its media tokens; None where it reads nothing."""
    reads = [None] * count
    if sight.views is not None:
        for token, place in zip(sight.index.tolist(), sight.places.tolist(), strict=True):
            reads[token] = sight.views.row(place // sight.longest)[:, 0].tolist()
    return reads


@pytest.mark.parametrize("attends", ["last", "all"])
def test_a_token_reads_the_items_before_it_in_its_own_sample(attends):
    """`[a I b J c][d e][K f]` as one stream: the second sample reads nothing, the third never the first one's items."""
    i, j, k = (torch.full((length, 2), value) for length, value in ((2, 1.0), (1, 2.0), (1, 3.0)))
    images, sounds = placed([1, 7], [i, k]), placed([3], [j], "audio")
    sight = Sight.of(Rows(1, 9, (5, 2, 2)), [images, sounds], None, attends)
    both = [2] if attends == "last" else [1, 1, 2]
    assert _read(sight, 9) == [None, [1, 1], [1, 1], both, both, None, None, [3], [3]]
    # Behind it, rows in another order, two tokens each; and the first brings an item of its own.
    kept = sight.kept().select([2, 0, 1])
    assert _read(Sight.of(Rows(3, 2, (2, 2, 2)), [], kept, attends), 6) == [[3], [3], both, both, None, None]
    more = Sight.of(Rows(3, 2, (2, 2, 2)), [placed([3, 4], [j, k])], kept, attends)
    late = ([2], [3]) if attends == "last" else ([*both, 2], [3])
    assert _read(more, 6) == [[3], [3], both, late[0], late[1], late[1]]
    together = kept.select([0]).beside([kept.select([2]), kept.select([1])])
    assert _read(Sight.of(Rows(3, 1, (1, 1, 1)), [], together, attends), 3) == [[3], None, both]


def test_an_encoder_decoder_carries_none(tmp_path):
    llm = PretrainedLlmConfig(checkpoint=str(tiny_t5(tmp_path))).build()
    with pytest.raises(PartError, match="is an encoder-decoder, whose layers carry no join"):
        config().build(llm, ["image"])


def test_a_join_that_begins_behind_the_last_layer_is_refused(tmp_path):
    llm = PretrainedLlmConfig(checkpoint=str(tiny_llama(tmp_path))).build()
    with pytest.raises(PartError, match="found 2 layers, and a join that begins at layer 7"):
        config(first=7).build(llm, ["image"])


def test_an_item_is_one_token_of_the_text():
    assert config().places(Layout(5, (16,) * 5, (4, 4))) == Layout(5, (1,))
    assert (config().prompt_width(32), config(media_width=12).prompt_width(32)) == (32, 12)
