"""Special tokens that a template writes and the LLM lacks: refused with the remedy, or new rows that learn."""

import pytest
import torch

from modalink.conversation import Conversation, Text, Turn
from modalink.errors import PromptError
from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_qwen2

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
