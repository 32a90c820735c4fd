"""Splice: where an item's places are, and what stands at them, readable by eye."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from modalink.errors import RecipeError
from modalink.kinds import parse
from modalink.llms.joins._spliced import Spliced
from modalink.llms.joins._vectors import Vectors
from modalink.model.expansion import expand
from modalink.ragged import Layout, Ragged
from modalink.recipe import Recipe, load
from modalink.roles import JoinConfig, Placed


def config(**settings):
    return parse(JoinConfig.room, {"kind": "splice", **settings})


def test_vectors_stand_around_each_item():
    llm = LlamaForCausalLM(LlamaConfig(hidden_size=1, num_attention_heads=1, num_hidden_layers=1, vocab_size=3))
    vectors = Vectors.of(llm, ["audio", "image"], begin=True, end=True)
    assert torch.allclose(vectors.begin.weight, llm.get_input_embeddings().weight.mean().expand(2, 1))
    vectors.begin.weight.data[1], vectors.end.weight.data[1] = 7.0, 9.0
    join = Spliced(vectors)
    prompt = Ragged(torch.tensor([[1.0], [2.0], [3.0]]), (2, 1), (Layout(1, (2,)), Layout(1, (1,))))
    assert join.lengths(prompt) == (4, 3)
    index = torch.tensor([1, 2, 3, 4, 6, 7, 8])
    found = join.embed(torch.zeros(1, 9, 1), [Placed("image", prompt, index, (4, 3), (1, 6))])
    assert found.flatten().tolist() == [0, 7, 1, 2, 9, 0, 7, 3, 9]


def test_a_prefix_stands_before_all_text():
    found = expand([1, 50, 2, 50, 3], [-100, -100, 2, -100, 3], {50: [[50, 50], [60, 50]]}, {}, first=True)
    assert found.ids == [50, 50, 60, 50, 1, 2, 3]
    assert found.labels == [-100] * 4 + [-100, 2, 3]
    assert found.fixed == [True] * 4 + [False] * 3


@pytest.mark.parametrize(
    ("settings", "learns", "vectors"),
    [({}, False, (0, 0)), ({"begin": True}, True, (1, 0)), ({"end": True, "where": "prefix"}, True, (0, 1))],
)
def test_what_it_declares(settings, learns, vectors):
    assert (config(**settings).learns, config(**settings).vectors) == (learns, vectors)


def test_items_of_a_row_that_stands_twice():
    """Two rows of four tokens, an item in each, as two beams each have them."""
    prompt = Ragged(torch.tensor([[1.0], [2.0]]), (1, 1), (Layout(1, (1,)),) * 2)
    found = Placed("image", prompt, torch.tensor([1, 6]), (1, 1), (1, 6)).repeated(2, 4)
    assert found.starts == (1, 5, 10, 14)
    assert found.index.tolist() == [1, 5, 10, 14]
    assert found.prompt.values.flatten().tolist() == [1, 1, 2, 2]


def test_a_recipe_names_a_join_or_sets_it():
    bare, whole = load("demo", ["llm.join=splice"]), load("demo", ["llm.join={kind: splice}"])
    assert bare == whole == load("demo")
    assert Recipe.model_validate(bare.to_dict()) == bare
    with pytest.raises(RecipeError, match=r"'splise'.*'splice'"):
        load("demo", ["llm.join=splise"])
    with pytest.raises(RecipeError, match=r"llm\.join.*has nothing to learn as it is set"):
        load("demo", ["stages.0.train.llm.join.lr=1e-3"])
    learning = load("demo", ["llm.join={kind: splice, end: true}", "stages.0.train.llm.join.lr=1e-3"])
    assert "llm.join" in learning.stages[0].train
