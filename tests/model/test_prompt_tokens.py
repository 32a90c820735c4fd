"""Special tokens that a template writes and the LLM lacks: refused with the remedy, or new rows that learn."""

import pytest
import torch
from transformers import AddedToken, AutoTokenizer

from modalink.conversation import Conversation, Text, Turn
from modalink.errors import PromptError
from modalink.model import System, compose
from modalink.model.compose import skeleton
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_llama, tiny_qwen2

TALK = Conversation((Turn("user", (Text("What is it?"),)), Turn("assistant", (Text("a red cube"),))), "mail 3")


@pytest.fixture
def system(make_spec):
    data = make_spec(template="chatml").model_dump()
    return lambda add: compose(SystemSpec.model_validate({**data, "prompt": {"template": "chatml", "add_tokens": add}}))


def test_the_error_names_the_remedy(system):
    with pytest.raises(
        PromptError, match=r"writes '<\|im_start\|>', which is no special token .*`prompt: \{add_tokens: true\}"
    ):
        system(False).processor.prepare(TALK)


def test_new_tokens_have_rows_that_learn_and_are_saved(system, tmp_path):
    made = system(True)
    prepared = made.processor.prepare(TALK)
    start, end = made.model.config.prompt_tokens
    assert made.processor.tokenizer.convert_ids_to_tokens([start, end]) == ["<|im_start|>", "<|im_end|>"]
    assert prepared.input_ids.count(start) == 3 and prepared.labels.count(end) == 1
    assert made.processor.template.stop == ("<|im_end|>",)
    rows = [p for name, p in made.model.named_parameters() if name.endswith("new_rows")]
    assert [len(row) for row in rows] == [2, 2]
    made.model.requires_grad_(False)
    for row in rows:
        row.requires_grad_(True)
    optimizer = torch.optim.SGD(rows, lr=1.0)
    before = [row.detach().clone() for row in rows]
    ids, labels = torch.tensor([prepared.input_ids]), torch.tensor([prepared.labels])
    made.model(input_ids=ids, labels=labels).loss.backward()
    optimizer.step()
    assert all(not torch.equal(row, old) for row, old in zip(rows, before, strict=True))
    made.save(tmp_path / "saved")
    loaded = System.load(tmp_path / "saved")
    assert loaded.model.config.prompt_tokens == [start, end]
    again = [p for name, p in loaded.model.named_parameters() if name.endswith("new_rows")]
    assert all(torch.equal(row, old) for row, old in zip(again, rows, strict=True))
    assert loaded.processor.prepare(TALK).input_ids == prepared.input_ids


def test_tokens_that_are_there_stay(make_spec, tmp_path):
    data = make_spec(llm=tiny_qwen2(tmp_path / "qwen")).model_dump()
    made = compose(SystemSpec.model_validate({**data, "prompt": {"template": "chatml", "add_tokens": True}}))
    assert made.model.config.prompt_tokens == []
    assert not [name for name, _ in made.model.named_parameters() if name.endswith("new_rows")]


ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end of turn|>' + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start|>' + m.role + '\n' + m.content + '<｜eot｜>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def own(make_spec, tmp_path):
    """A system whose LLM has a tokenizer with a chat template of its own, and further special tokens."""

    def build(source, add, *, special=(), eos=None):
        folder = tmp_path / "llm"
        data = make_spec(llm=tiny_llama(folder)).model_dump()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens([AddedToken(token, special=True) for token in special], special_tokens=True)
        if eos:
            tokenizer.eos_token = eos
        tokenizer.chat_template = source
        tokenizer.save_pretrained(folder)
        prompt = {"template": "llm", "add_tokens": add}
        return compose(SystemSpec.model_validate({**data, "prompt": prompt}))

    return build


def learned(made):
    return made.processor.tokenizer.convert_ids_to_tokens(made.model.config.prompt_tokens)


def test_what_the_llms_own_template_spells_as_special_tokens_is_learned(own, tmp_path):
    made = own(LLAMA3, True)
    assert sorted(learned(made)) == ["<|start|>", "<｜eot｜>"]
    ids = made.processor.prepare(TALK).input_ids
    assert [ids.count(token) for token in sorted(made.model.config.prompt_tokens)] == [2, 2]
    assert made.processor.template.stop[0] == "<｜eot｜>"
    made.save(tmp_path / "saved")
    loaded = System.load(tmp_path / "saved")
    assert loaded.processor.prepare(TALK).input_ids == ids
    assert loaded.model.config.prompt_tokens == made.model.config.prompt_tokens


def test_without_the_setting_they_stay_the_words_that_the_llm_was_trained_on(own):
    made = own(LLAMA3, False)
    assert learned(made) == []
    tokenizer, prepared = made.processor.tokenizer, made.processor.prepare(TALK)
    assert (
        prepared.input_ids
        == tokenizer(
            made.processor.template.render(TALK, lambda turn, medium: "").text, add_special_tokens=False
        ).input_ids
    )


def test_what_a_template_only_puts_together_is_no_token(own):
    assert learned(own(ZEPHYR, True)) == ["<|assistant|>"]


@pytest.mark.parametrize("source", [LLAMA3.replace("<|start|>", "<turn>"), LLAMA3.replace("'<｜eot｜>'", "eos_token")])
def test_tokens_of_the_tokenizer_that_the_llm_has_no_embedding_of_are_told_or_learned(own, source):
    added = {"special": ["<turn>"]} if "<turn>" in source else {"eos": "<far>"}
    name = "<turn>" if "<turn>" in source else "<far>"
    with pytest.raises(PromptError, match=rf"'llm' writes '{name}', token \d+ .* below \d+; .*add_tokens: true"):
        own(source, False, **added)
    made = own(source, True, **added)
    assert name in learned(made)
    rows = [p for key, p in made.model.named_parameters() if key.endswith("new_rows")]
    assert [len(row) for row in rows] == [len(learned(made))] * 2
    prepared = made.processor.prepare(TALK)
    assert torch.isfinite(made.model(input_ids=torch.tensor([prepared.input_ids])).logits).all()


def test_a_token_that_no_template_writes_may_lack_its_embedding(own):
    assert learned(own(LLAMA3, False, special=["<pad2>"])) == []


def test_a_skeleton_has_room_for_tokens_of_the_llms_own_template(make_spec):
    data = make_spec(template="vicuna-v1.1").model_dump()
    model = skeleton(SystemSpec.model_validate({**data, "prompt": {"template": "llm", "add_tokens": True}}))
    assert len(model.config.prompt_tokens) == 2
