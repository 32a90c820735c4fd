"""The replies of a preference become one sample; what cannot be compared stands in the ledger."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest
import torch

from modalink.data.preference import Preference, Side
from modalink.errors import DataError
from modalink.features.cache import FeatureCache
from modalink.model import compose
from modalink.recipe import Recipe
from modalink.runs.ledger import Ledger
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.objectives.language import LanguageConfig
from modalink.training.opening import open_loader
from modalink.training.preparing import preparing
from modalink.training.stages import StageConfig
from tests.support.plug_in import Install


class EchoConfig(LanguageConfig):
    """Compares with one of the replies, drawn at random."""

    kind: Literal["echo"] = "echo"  # type: ignore[assignment]

    def variants(self, preference: Preference, rng) -> Sequence[Side]:
        rank = rng.randrange(2)
        return [Side(preference.sides[rank].reply, variant="echo", rank=rank)]


@pytest.fixture
def run(make_recipe: Callable[..., Recipe], tmp_path: Path):
    def make(stage: dict, **changes) -> tuple[Run, StageConfig]:
        recipe = make_recipe(stage, **changes)
        system, device = compose(recipe), torch.device("cpu")
        shared = Run(tmp_path, recipe, system, FeatureCache(), device, lambda event: None, StopRequest())
        return shared, recipe.stages[0]

    return make


def _pairs(folder: str, *replies: tuple[str, str]) -> str:
    path = Path(folder).parent / "some.jsonl"
    lines = [{"id": f"{n}", "prompt": "What?", "chosen": one, "rejected": two} for n, (one, two) in enumerate(replies)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_a_pair_is_one_sample_and_a_batch_counts_pairs(run, prefer) -> None:
    shared, stage = run(prefer(batch=4))
    with ExitStack() as stack:
        loader = open_loader(shared, stage, shared.folder, stack)
        assert loader.epoch_samples == 6
        batches = loader.batches()
        samples = next(batches)
        batches.close()
    assert [len(sample.sides) for sample in samples] == [2] * 4
    for sample in samples:
        (other,) = sample.alternatives
        assert (sample.judgement.rank, other.judgement.rank) == (0, 1)
        prompt = next(n for n, label in enumerate(sample.labels) if label >= 0)
        assert sample.input_ids[:prompt] == other.input_ids[:prompt]
        assert sample.media["image"][0].digest == other.media["image"][0].digest


def test_empty_and_equal_replies_stand_in_the_ledger_with_the_reason(run, prefer, judged) -> None:
    path = _pairs(judged["pairs"], ("a cube", "a ball"), ("a cube", " "), ("a cube", "a cube"))
    shared, stage = run(prefer(data=[{"source": "preferences", "path": path}]))
    with ExitStack() as stack:
        batches = open_loader(shared, stage, shared.folder, stack).batches()
        assert [sample.id for sample in next(batches)] == ["0", "0"]
        batches.close()
    lines = {line.sample: (line.reason, line.detail) for line in Ledger(shared.folder / "ledger.jsonl")}
    assert lines["1"] == ("empty_reply", "reply 2 of 2 says nothing, so that nothing can be compared with it")
    assert lines["2"] == (
        "equal_replies",
        "two of its 2 replies are the same to the system, so that none is better",
    )


def test_replies_that_the_longest_length_makes_equal_are_left_out(run, prefer, judged) -> None:
    words = "one two three four five six seven eight nine ten " * 3
    path = _pairs(judged["pairs"], (f"{words}cube", f"{words}ball"))
    shared, stage = run(prefer(data=[{"source": "preferences", "path": path}], max_tokens=60))
    with ExitStack() as stack, pytest.raises(DataError, match=r"equal_replies.*text tokens of them were cut"):
        next(open_loader(shared, stage, shared.folder, stack).batches())


def test_objectives_add_what_they_compare_with_drawn_anew_each_time_and_alike_each_run(
    install: Install, run, prefer
) -> None:
    install(EchoConfig)
    shared, stage = run(prefer(objectives=[{"kind": "echo"}]))
    prepare = preparing(shared.system, stage)
    source = stage.data[0].open()
    ranks = [[prepare(source[0], seed=seed).alternatives[1].judgement.rank for seed in range(20)] for _ in range(2)]
    assert ranks[0] == ranks[1]
    assert set(ranks[0]) == {0, 1}
    for rank, seed in zip(ranks[0], range(20), strict=True):
        sample = prepare(source[0], seed=seed)
        assert sample.alternatives[1].input_ids == sample.sides[rank].input_ids
