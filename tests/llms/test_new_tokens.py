import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from modalink.errors import PartError
from modalink.llms import add_new_tokens
from modalink.testing.checkpoints import tiny_llama, tiny_opt, tiny_qwen2, tiny_t5

DECODERS = {"llama": tiny_llama, "qwen2, tied": tiny_qwen2, "opt, tied": tiny_opt}


def _pair(make, folder, auto=AutoModelForCausalLM):
    path = make(folder)
    return auto.from_pretrained(path).eval(), auto.from_pretrained(path).eval().requires_grad_(False)


@pytest.mark.parametrize("make", DECODERS.values(), ids=DECODERS.keys())
def test_old_tokens_keep_their_logits_and_new_ones_follow(make, tmp_path):
    plain, extended = _pair(make, tmp_path)
    size = plain.config.vocab_size
    add_new_tokens(extended, [size, size + 1], size + 2)
    ids = torch.arange(5, 12)[None]

    expected, found = plain(ids).logits, extended(ids).logits

    assert found.shape[-1] == size + 2 == extended.config.vocab_size
    assert torch.equal(found[..., :size], expected)


@pytest.mark.parametrize("make", DECODERS.values(), ids=DECODERS.keys())
def test_only_the_new_rows_learn_and_only_the_used_ones_get_a_gradient(make, tmp_path):
    _, llm = _pair(make, tmp_path)
    size = llm.config.vocab_size
    add_new_tokens(llm, [size, size + 1], size + 2)

    llm(torch.tensor([[5, size, 7]]), labels=torch.tensor([[5, size, 7]])).loss.backward()

    assert [n for n, p in llm.named_parameters() if p.requires_grad] == [
        n for n, _ in llm.named_parameters() if n.endswith("new_rows")
    ]
    embedding = llm.get_input_embeddings().new_rows.grad
    assert embedding[0].abs().sum() > 0
    assert embedding[1].abs().sum() == 0
    assert (llm.get_output_embeddings().new_rows.grad.abs().sum(1) > 0).all()


def test_new_tokens_may_take_spare_rows_inside_the_table(tmp_path):
    plain, extended = _pair(tiny_llama, tmp_path)
    size = plain.config.vocab_size
    add_new_tokens(extended, [size - 2, size], size + 1)
    extended.get_output_embeddings().new_rows.data.fill_(0.0)

    logits = extended(torch.tensor([[5, 6]])).logits

    assert logits.shape[-1] == size + 1
    assert (logits[..., [size - 2, size]] == 0).all()
    assert torch.equal(logits[..., : size - 2], plain(torch.tensor([[5, 6]])).logits[..., : size - 2])


def test_the_whole_tables_can_be_read_as_weights(tmp_path):
    _, llm = _pair(tiny_llama, tmp_path)
    size = llm.config.vocab_size
    add_new_tokens(llm, [size, size + 1], size + 2)
    head, states = llm.get_output_embeddings(), torch.randn(3, llm.config.hidden_size)

    torch.testing.assert_close(torch.nn.functional.linear(states, head.weight, head.bias), head(states))
    assert torch.equal(llm.get_input_embeddings().weight[size + 1], llm.get_input_embeddings()(torch.tensor(size + 1)))


def test_an_encoder_decoder_reads_and_writes_new_tokens(tmp_path):
    plain, extended = _pair(tiny_t5, tmp_path, AutoModelForSeq2SeqLM)
    size = plain.config.vocab_size
    add_new_tokens(extended, [size], size + 1)
    ids, labels = torch.tensor([[5, 6, 7]]), torch.tensor([[8, 9]])

    expected, found = plain(ids, labels=labels).logits, extended(ids, labels=labels).logits
    torch.testing.assert_close(found[..., :size], expected, atol=1e-5, rtol=1e-4)  # summed in another order

    extended(torch.tensor([[5, size]]), labels=torch.tensor([[8, size]])).loss.backward()
    assert extended.get_input_embeddings().new_rows.grad.abs().sum() > 0
    assert extended.get_output_embeddings().new_rows.grad.abs().sum() > 0


@pytest.mark.parametrize("make", DECODERS.values(), ids=DECODERS.keys())
def test_tying_weights_again_changes_nothing(make, tmp_path):
    _, llm = _pair(make, tmp_path)
    size = llm.config.vocab_size
    tied = llm.get_output_embeddings().weight is llm.get_input_embeddings().weight
    add_new_tokens(llm, [size], size + 1)
    before = llm(torch.tensor([[5, size]])).logits
    llm.tie_weights()
    assert torch.equal(llm(torch.tensor([[5, size]])).logits, before)
    assert (llm.get_output_embeddings().base.weight is llm.get_input_embeddings().base.weight) == tied


def test_new_tokens_may_start_around_the_end_token(tmp_path):
    _, llm = _pair(tiny_llama, tmp_path)
    size, end = llm.config.vocab_size, llm.config.eos_token_id
    table = llm.get_input_embeddings().weight.detach().clone()
    torch.manual_seed(0)
    add_new_tokens(llm, [size, size + 1, size + 2], size + 3, like_end=[size + 1, size + 2])

    mean, first, second = llm.get_input_embeddings().new_rows.detach()

    torch.testing.assert_close(mean, table.mean(0))
    for row in (first, second):
        assert ((row - table[end]).abs() < 0.5 * 5 * table.std(0)).all()
    assert not torch.equal(first, second)


def test_an_llm_without_an_end_token_cannot_start_them_there(tmp_path):
    _, llm = _pair(tiny_llama, tmp_path)
    llm.config.eos_token_id = None
    with pytest.raises(PartError, match="found no end-of-sequence token"):
        add_new_tokens(llm, [llm.config.vocab_size], llm.config.vocab_size + 1, like_end=[llm.config.vocab_size])
