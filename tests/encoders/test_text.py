"""Text models as encoders of sentences.

That their numbers are those of transformers, `docs/tools/parity/encoders/text.py` holds.
"""

import pickle
from pathlib import Path

import pytest
import torch

from modalink.encoders.text import TextModelConfig
from modalink.errors import PartError
from modalink.modalities.sentence import Sentence
from modalink.ragged import Layout, Ragged
from modalink.testing import check_encoder
from modalink.testing.checkpoints import tiny_bert, tiny_clip_vision, tiny_llama

WORDS = Sentence("how many objects are there in the image? three")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bert(tmp_path_factory.mktemp("bert")))


@pytest.mark.parametrize("pool", ["first", "mean"])
def test_it_keeps_the_promises_of_its_role(bert: str, pool: str) -> None:
    check_encoder(TextModelConfig.model_validate({"checkpoint": bert, "pool": pool}))


def test_a_causal_model_gives_its_last_state(tmp_path: Path) -> None:
    config = TextModelConfig(checkpoint=str(tiny_llama(tmp_path)), pool="last")
    check_encoder(config)
    encoder, read = config.build(), config.preprocessor()
    items = Ragged.of([read(WORDS), read(Sentence("three"))], [read.layout(WORDS), read.layout(Sentence("three"))])
    states = encoder.tower(input_ids=read(Sentence("three"))[None].long()).last_hidden_state
    torch.testing.assert_close(encoder(items).values[1], states[0, -1])


def test_the_share_of_masked_words_is_drawn_and_never_the_first(bert: str) -> None:
    config = TextModelConfig(checkpoint=bert, mask=0.25)
    read = config.preprocessor()
    ids, mask = read(WORDS), read.tokenizer.mask_token_id
    masked = torch.stack([read.seeded(seed)(WORDS) == mask for seed in range(200)])
    assert not (ids == mask).any() and not masked[:, 0].any()
    assert masked[:, 1:].float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(read.seeded(3)(WORDS), pickle.loads(pickle.dumps(read.seeded(3)))(WORDS))
    kept = ~masked[7]
    assert torch.equal(read.seeded(7)(WORDS)[kept], ids[kept])
    assert TextModelConfig(checkpoint=bert).preprocessor().seeded(3)(WORDS).tolist() == ids.tolist()


def test_long_sentences_are_cut_and_what_they_spell_does_not_act(bert: str) -> None:
    read = TextModelConfig(checkpoint=bert, max_tokens=6).preprocessor()
    ids = read(Sentence("<mask> <mask> <mask> </s>"))
    assert len(ids) == 6 == read.layout(Sentence("<mask> <mask> <mask> </s>")).units
    assert ids[0] == read.tokenizer.bos_token_id and ids[-1] == read.tokenizer.eos_token_id
    assert read.tokenizer.mask_token_id not in ids


def test_what_cannot_read_sentences_is_told(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"found mask: 0\.2 and a tokenizer without a mask token; set 0"):
        TextModelConfig(checkpoint=str(tiny_llama(tmp_path / "llm")), mask=0.2).preprocessor()
    with pytest.raises(PartError, match="needed the configuration of a text model"):
        TextModelConfig(checkpoint=str(tiny_clip_vision(tmp_path / "vision"))).build()


def test_its_size() -> None:
    with torch.device("meta"):
        encoder = TextModelConfig(checkpoint="google-bert/bert-base-uncased").build(weights=False)
    assert sum(p.numel() for p in encoder.parameters()) == 108_891_648
    assert encoder.layout(Layout.of_units(32)) == Layout(32, (1,))
