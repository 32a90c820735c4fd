"""An LLM with tokens that another checkpoint added, and the table of embeddings that was trained there."""

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM

from modalink.errors import PartError
from modalink.hub import identity_of
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.testing.released_open_flamingo import ADDED, tiny_open_flamingo

TABLE = {
    "gpt_neox": "gpt_neox.embed_in.weight",
    "opt": "model.decoder.embed_tokens.weight",
    "llama": "model.embed_tokens.weight",
}


def given(found, **changes):
    """The settings of an LLM with the vocabulary of a checkpoint."""
    vocabulary = {"checkpoint": str(found.checkpoint), "tokens": ADDED, "rows": 386} | changes
    return PretrainedLlmConfig(checkpoint=str(found.llm), vocabulary=vocabulary)


@pytest.mark.parametrize("family", TABLE)
def test_its_table_is_the_checkpoints_and_all_else_its_own(tmp_path, family):
    found = tiny_open_flamingo(tmp_path, family)
    config = given(found)
    llm, own = config.build(), AutoModelForCausalLM.from_pretrained(found.llm)
    held = torch.load(found.checkpoint / "checkpoint.pt")
    table, head = llm.get_input_embeddings().weight, llm.get_output_embeddings().weight
    assert torch.equal(table, held[f"lang_encoder.{TABLE[family]}"]) and not table.requires_grad
    if family == "opt":
        assert head is table
    elif family == "gpt_neox":
        assert torch.equal(head, held["lang_encoder.embed_out.weight"])
    else:  # whose head is not saved
        before = own.get_output_embeddings().weight
        assert torch.equal(head[:384], before[:384])
        assert torch.equal(head[384:], before[384:386])  # rows that it has beyond its tokens
    tables = {id(table), id(head)}
    rest = {name: weight for name, weight in llm.named_parameters() if id(weight) not in tables}
    assert rest and all(torch.equal(weight, own.get_parameter(name)) for name, weight in rest.items())
    assert llm.config.vocab_size == config.architecture().vocab_size == len(config.tokenizer()) == 386
    assert config.tokenizer().convert_tokens_to_ids(list(ADDED)) == [384, 385]
    with torch.device("meta"):
        bare = config.build(weights=False)
    assert {n: p.shape for n, p in bare.named_parameters()} == {n: p.shape for n, p in llm.named_parameters()}


def test_a_longer_vocabulary_than_the_llms_rows_gets_the_mean_in_a_head_that_is_not_saved(tmp_path):
    found = tiny_open_flamingo(tmp_path, "llama")
    held = torch.load(found.checkpoint / "checkpoint.pt")
    name = f"lang_encoder.{TABLE['llama']}"
    torch.save(held | {name: torch.cat([held[name], torch.ones(14, 32)])}, found.checkpoint / "checkpoint.pt")
    head = given(found, rows=400).build().get_output_embeddings().weight
    before = AutoModelForCausalLM.from_pretrained(found.llm).get_output_embeddings().weight
    assert len(before) == 389 and torch.equal(head[:389], before)
    torch.testing.assert_close(head[389:], before.mean(0).expand(11, -1))


def test_it_is_part_of_who_the_llm_is(tmp_path):
    found = tiny_open_flamingo(tmp_path)
    alone = PretrainedLlmConfig(checkpoint=str(found.llm))
    assert given(found).checkpoints() == ((str(found.llm), None), (str(found.checkpoint), None))
    assert identity_of(given(found)).sha256 != identity_of(alone).sha256
    assert given(found).tiny().vocabulary is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": 385}, r"found rows: 385, needed more: <image> is token 385"),
        ({"rows": 387}, r"found a table of \(386, 32\), needed \(387, 32\) for .*gpt_neox; give the LLM"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, changes, says):
    config = given(tiny_open_flamingo(tmp_path), **changes)
    with pytest.raises(PartError, match=says):
        config.tokenizer()
        config.build()


def test_a_table_of_another_llm_is_refused(tmp_path):
    name = f"lang_encoder.{TABLE['gpt_neox']}"
    torch.manual_seed(0)
    other = tiny_open_flamingo(tmp_path / "other", **{name: torch.randn(386, 32)})
    with pytest.raises(PartError, match=r"its embeddings are not those of .*gpt_neox; give the LLM"):
        given(other).build()
    with pytest.raises(PartError, match=r"found no table of embeddings, needed one of \(386, 32\)"):
        given(tiny_open_flamingo(tmp_path / "none", **{name: None})).build()
    head = {"lang_encoder.lm_head.weight": torch.randn(386, 32)}
    with pytest.raises(PartError, match=r"found a head that is not its table .* that of .*opt is its table"):
        given(tiny_open_flamingo(tmp_path / "tied", "opt", **head)).build()


def test_no_tokens_are_no_vocabulary():
    with pytest.raises(ValidationError, match="at least 1 item"):
        PretrainedLlmConfig(checkpoint="zoo:llm", vocabulary={"checkpoint": "zoo:llm", "tokens": [], "rows": 3})
