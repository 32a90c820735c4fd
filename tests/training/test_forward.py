"""A forward pass gives what is needed, and does not compute the rest."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from modalink.conversation import Conversation
from modalink.model import System, compose
from modalink.model.batch import Batch
from modalink.model.collating import collate
from modalink.recipe import Recipe
from modalink.training.forward import forward
from modalink.training.objectives import Need, ObjectiveConfig, Output
from modalink.training.train import train
from tests.support.plug_in import Install


class ShortConfig(ObjectiveConfig):
    """Prompt tokens shall be short vectors; its unit is one item."""

    kind: Literal["short"] = "short"
    needs: ClassVar[frozenset[Need]] = frozenset({"prompt_tokens"})

    def count(self, batch: Batch) -> int:
        return sum(map(len, batch.items.values()))

    def sum(self, output: Output, batch: Batch, generators: Mapping[str, Any], rngs: Any) -> Float[Tensor, ""]:
        assert output.prompt_tokens is not None
        assert (output.logits, output.logprobs, output.conditions) == (None, None, None)
        return torch.stack([tokens.values.float().square().sum() for tokens in output.prompt_tokens.values()]).sum()


@pytest.fixture(scope="module")
def system(make_recipe: Callable[..., Recipe]) -> System:
    return compose(make_recipe(), seed=0)


@pytest.fixture(scope="module")
def batch(system: System, data: dict[str, str]) -> Batch:
    """A question about a picture and a request to draw one."""
    picture = {"type": "image", "path": str(Path(data["ask"]).with_name("0.png"))}
    asks = [{"role": "user", "content": [picture]}, {"role": "assistant", "content": "a red cube"}]
    draws = [{"role": "user", "content": "Draw."}, {"role": "assistant", "content": [picture]}]
    samples = [system.processor.prepare(Conversation.from_messages(messages)) for messages in (asks, draws)]
    return collate(samples, packed=True, pad_id=0)


def test_log_probabilities_are_those_of_the_labelled_tokens(system: System, batch: Batch) -> None:
    given = forward(system.model, batch, {"logits", "logprobs"})
    at, tokens = batch.predicting, batch.wanted
    every = system.model(**batch.inputs() | {"logits_to_keep": 0}).logits.log_softmax(-1)
    torch.testing.assert_close(given.logprobs, every[0, at].gather(1, tokens[:, None])[:, 0])
    assert given.conditions is None


def test_conditions_alone_run_no_head(system: System, batch: Batch) -> None:
    given = forward(system.model, batch, {"conditions"})
    assert given.logits is not None
    assert len(given.logits) == 0
    assert given.conditions is not None
    whole = forward(system.model, batch, {"logits", "conditions"}).conditions
    assert torch.equal(given.conditions["image"]["tokens"], whole["image"]["tokens"])


def test_features_and_prompt_tokens_come_without_the_llm(
    system: System, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = forward(system.model, batch, {"features", "prompt_tokens", "logits"})
    torch.testing.assert_close(whole.logits, forward(system.model, batch, {"logits"}).logits)
    monkeypatch.setattr(system.model.language_model, "forward", _refuse)
    given = forward(system.model, batch, {"features", "prompt_tokens"})
    assert torch.equal(given.features["image"].values, system.model.encode("image", batch.media["image"]).values)
    assert torch.equal(given.prompt_tokens["image"].values, whole.prompt_tokens["image"].values)


def test_a_stage_whose_objective_reads_prompt_tokens_trains_without_the_llm(
    install: Install, make_recipe: Callable[..., Recipe], pretrain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(ShortConfig)
    recipe = make_recipe(pretrain(objectives=[{"kind": "short"}], steps=2))
    system = compose(recipe, seed=0)
    before = [p.detach().clone() for p in system.model.model.input_projectors.parameters()]
    monkeypatch.setattr(system.model.language_model, "forward", _refuse)
    train(recipe, tmp_path / "run", system=system)
    after = list(system.model.model.input_projectors.parameters())
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def _refuse(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("the LLM ran")
