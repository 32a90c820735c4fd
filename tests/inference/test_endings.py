"""What ends an answer."""

import pytest

from modalink.errors import GenerationError
from modalink.inference.endings import Endings, longest


def test_special_tokens_and_strings_are_told_apart(reader):
    system = reader.system
    eos = system.processor.tokenizer.eos_token_id
    assert Endings.of(system) == Endings(frozenset({eos}), ())


def test_an_end_inside_a_run_of_signal_tokens_is_an_end_after_it(artist, monkeypatch):
    system = artist.system
    first, _, last = system.model.config.signals["image"]
    stops = (system.processor.tokenizer.convert_ids_to_tokens(first), "###")
    monkeypatch.setattr(system.processor, "template", system.processor.template.replace(stops=stops))
    assert Endings.of(system) == Endings(frozenset({system.processor.tokenizer.eos_token_id, last}), ("###",))


def test_an_empty_stop_string_ends_nothing(reader, monkeypatch):
    template = reader.system.processor.template
    monkeypatch.setattr(reader.system.processor, "template", template.replace(stops=("", "###")))
    assert Endings.of(reader.system).strings == ("###",)
    assert Endings.of(reader.system, ("", "\n", "</s>")) == Endings(Endings.of(reader.system).tokens, ("###", "\n"))


def test_an_answer_fits_what_the_llm_reads(reader):
    limit = reader.system.model.config.get_text_config().max_position_embeddings
    assert longest(reader.system, 10, 20) == 20
    assert longest(reader.system, limit - 5, 20) == 5
    with pytest.raises(GenerationError, match=f"takes {limit} tokens and the LLM reads at most {limit}"):
        longest(reader.system, limit, 20)
