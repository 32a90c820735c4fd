"""A checkpoint that is no language model is told before anything is built of it."""

import pytest

from modalink.errors import PartError
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama


def test_a_vision_tower_is_no_language_model(tmp_path):
    with pytest.raises(PartError, match="found a model of type 'clip_vision_model', needed a language model"):
        PretrainedLlmConfig(checkpoint=str(tiny_clip_vision(tmp_path))).architecture()


def test_a_missing_tokenizer_is_told_in_a_sentence(tmp_path):
    config = PretrainedLlmConfig(checkpoint=str(tiny_llama(tmp_path)))
    assert config.architecture().vocab_size == len(config.tokenizer())
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(PartError, match=r"it holds no tokenizer; needed tokenizer\.json, which"):
        config.tokenizer()
