"""What a step asks of the device that a GPU's host would have to wait for."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from modalink.features.cache import FeatureCache
from modalink.llms import Segments
from modalink.model import Prepared, compose
from modalink.recipe import Recipe
from modalink.testing.checkpoints import tiny_llama
from modalink.training.freezing import freeze
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.opening import make_learner, open_loader
from modalink.training.step import Learner

ANSWERED = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim"}
"""Operators whose result's value or size the host has to know."""


class Operators(TorchDispatchMode):
    """Counts the operators that a GPU's host waits for, also in the backward pass."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name.startswith("index"):
            places = args[1] if isinstance(args[1], list | tuple) else ()
            self.found["boolean index"] += any(p is not None and p.dtype == torch.bool for p in places)
        self.found[name] += name in ANSWERED
        return func(*args, **kwargs or {})


class Methods(TorchFunctionMode):
    """Counts the methods that copy a tensor to the host; on a CPU no operator shows it."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__array__):
            self.found[func.__name__] += 1
        return func(*args, **kwargs or {})


@pytest.fixture
def start(make_recipe: Callable[..., Recipe], instruct: Callable[..., dict], tmp_path: Path):
    """A learner with an LLM of some layers and the samples of its first step, of which some show and some draw."""

    def make(layers: int, **changes) -> tuple[Learner, list[Prepared]]:
        recipe = make_recipe(instruct(batch=4, **changes))
        llm = tiny_llama(tmp_path / f"llm-{layers}", num_hidden_layers=layers)
        recipe = recipe.replace(llm=recipe.llm.model_copy(update={"checkpoint": str(llm)}))
        system = compose(recipe, seed=0)
        run = Run(tmp_path, recipe, system, FeatureCache(), torch.device("cpu"), lambda event: None, StopRequest())
        stage = recipe.stages[0]
        trained = freeze(system.model, system.model.trainable_groups(), stage.train)
        with ExitStack() as stack:
            batches = iter(open_loader(run, stage, tmp_path, stack))
            samples = next(batches)
            batches.close()
        return make_learner(run, stage, trained, steps=10), samples

    return make


def _waits(learner: Learner, samples: list[Prepared], monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Waits of a second step, in which what is frozen is cached; what is collated is on the host and no wait."""
    learner.learn(0, samples)
    parts = learner.micro_batches(samples)
    monkeypatch.setattr(learner, "micro_batches", lambda samples: parts)
    found: Counter[str] = Counter()
    with Operators(found), Methods(found):
        learner.learn(1, samples)
    return +found


def test_the_counter_sees_what_waits() -> None:
    values, found = torch.arange(4.0, requires_grad=True), Counter()
    with Operators(found), Methods(found):
        values[values.detach() > 1].sum().backward()
        values.sum().item()
        values.tolist()
        bool(values.detach().any())
    assert +found == {"boolean index": 2, "_local_scalar_dense": 2, "tolist": 1}


@pytest.mark.parametrize("micro_batch", [None, 2])
def test_a_step_waits_once_for_its_numbers_whatever_the_number_of_layers(start, monkeypatch, micro_batch) -> None:
    for layers in (1, 2, 4):
        assert _waits(*start(layers, micro_batch=micro_batch), monkeypatch) == {"tolist": 1}


def test_the_segments_of_a_micro_batch_are_made_once(start, monkeypatch) -> None:
    made = []
    build = Segments.of.__func__
    monkeypatch.setattr(
        Segments, "of", classmethod(lambda cls, *args, **given: made.append(1) or build(cls, *args, **given))
    )
    learner, samples = start(4, micro_batch=2)
    learner.learn(0, samples)
    assert len(made) == 2
