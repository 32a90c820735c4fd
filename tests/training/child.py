"""Trains the recipe file of its first argument in the folder of its second; the third says what befalls it.

`kill STAGE STEP` kills it like `kill -9` after that step; `wait STAGE STEP` says `waiting` and waits for a line. `count`
writes beside the run how often each class of module ran, forward and backward, and first what `contrast` gives.
"""

import atexit
import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml
from torch import Tensor
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook, register_module_full_backward_hook

from modalink.errors import ModalinkError
from modalink.model.batch import Batch
from modalink.model.collating import collate
from modalink.model.items import Described, Item
from modalink.model.prepared import Prepared
from modalink.ragged import Layout, Ragged
from modalink.recipe import Recipe
from modalink.roles import Compared
from modalink.training import parallel
from modalink.training.events import Event, StepDone
from modalink.training.objectives import Captioned, Embedded, Output
from modalink.training.objectives.itc import ItcConfig
from modalink.training.objectives.itm import ItmConfig
from modalink.training.objectives.sentence_contrast import SentenceContrastConfig
from modalink.training.randomness import ItemRngs
from modalink.training.train import train

SHARES = [[[0, 1, 2], [3]], [[0, 2], [1, 3]], [[0, 1, 2, 3], []], [[], []]]
"""Places in the whole batch that each of two processes has, one time after the other."""


def contrast(shares: list[list[int]]) -> dict[str, object]:
    """Losses and gradients of the media that this process has of a whole batch, see `whole_batch`.

    Args:
        shares: The places that each process has in it.
    """
    items, texts, temperature = learned = [tensor.requires_grad_() for tensor in whole_batch()]
    batch, output, rngs = seen(learned, shares[parallel.rank()], peers="")
    found: dict[str, object] = {}
    for objective in (ItcConfig(), SentenceContrastConfig(), ItmConfig()):
        loss = objective.sum(output, batch, {}, rngs)
        gradients = [torch.zeros_like(t) for t in (items, texts, temperature)]
        if loss.requires_grad:
            given = torch.autograd.grad(loss, (items, texts, temperature), retain_graph=True, materialize_grads=True,
                                        allow_unused=True)  # fmt: skip
            gradients = [*given]
        found[objective.kind] = [loss.item(), *(gradient.tolist() for gradient in gradients)]
    return found


@dataclass(frozen=True)
class Told(Batch):
    """A batch whose media have captions, whatever its items are."""

    told: dict[str, Described] = field(default_factory=dict)

    @property
    def described(self) -> dict[str, Described]:
        return self.told


def seen(whole: list[Tensor], places: list[int], peers: str | None) -> tuple[Batch, Output, ItemRngs]:
    """A batch of some media of a whole one, what the parts make of it, and what draws for it.

    Args:
        whole: See `whole_batch`.
        places: The places that the media have in it.
        peers: What the pass is called.
    """
    items, texts, temperature = whole
    samples, ids = tuple(range(len(places))), tuple((place,) for place in places)
    described = Described(samples, samples, ids)
    given = vars(collate([Prepared("a", [1, 2], [-100, 2])], packed=True, pad_id=0))
    given |= {"items": {"sentence": [Item.of(torch.zeros(1, 1))] * len(places)}}
    batch = Told(**given, told={"image": described} if places else {})
    captioned = {}
    if places:
        features = Ragged.of(list(items[places]), [Layout(1, (3,))] * len(places))
        captioned["image"] = Captioned(Plain(texts, temperature), features, described.words, described)
    output = Output(captioned=captioned, embeddings={"sentence": Embedded(texts[places], temperature)}, peers=peers)
    return batch, output, ItemRngs(0, 0, places)


class Plain:
    """A projector whose items are their features, and whose captions of one word are rows of a table.

    Args:
        table: The rows.
        temperature: By what cosines are divided.
    """

    def __init__(self, table: Tensor, temperature: Tensor) -> None:
        self.table, self.temperature = table, temperature

    def compared(self, features: Ragged, words: Ragged) -> Compared:
        return Compared(features.stack(), self.table[words.values], self.temperature)

    def matches(self, features: Ragged, words: Ragged, items: Tensor, texts: Tensor) -> Tensor:
        alike = (features.stack()[items][:, 0] * self.table[words.values[texts]]).sum(1)
        return torch.stack([-alike, alike.square() / self.temperature], dim=1)

    def written(self, features: Ragged, words: Ragged) -> Tensor:
        raise NotImplementedError


def whole_batch() -> tuple[Tensor, Tensor, Tensor]:
    """Four media of three vectors, their captions, and a temperature."""
    generator = torch.Generator().manual_seed(0)
    items, texts = (torch.randn(shape, generator=generator) for shape in ((4, 3, 8), (4, 8)))
    return functional.normalize(items, dim=-1), functional.normalize(texts, dim=-1), torch.tensor(0.07)


def main(recipe: str, run: str, fate: str = "none", stage: str = "", step: str = "0") -> int:
    """With `count` the processes stay together around the run, because they meet once alone."""
    with ExitStack() as together:
        return run_of(together, recipe, run, fate, stage, step)


def run_of(together: ExitStack, recipe: str, run: str, fate: str, stage: str, step: str) -> int:
    def on_event(event: Event) -> None:
        if not isinstance(event, StepDone) or (event.stage, event.step) != (stage, int(step)):
            return
        if fate == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        print("waiting", flush=True)
        while not Path(f"{run}-go").exists():
            time.sleep(0.01)

    if fate == "count":
        counted: Counter[str] = Counter()
        register_module_forward_hook(lambda module, given, made: counted.update([type(module).__name__]))
        register_module_full_backward_hook(lambda module, *_: counted.update([f"{type(module).__name__} backward"]))
        file = Path(f"{run}-{os.environ['RANK']}.json")
        atexit.register(lambda: file.write_text(json.dumps(counted)))
        together.enter_context(parallel.process_group(torch.device("cpu")))
        compared = [contrast(shares) for shares in SHARES]
        Path(f"{run}-contrast-{os.environ['RANK']}.json").write_text(json.dumps(compared))
    try:
        train(Recipe.model_validate(yaml.safe_load(Path(recipe).read_text())), Path(run), on_event=on_event)
    except ModalinkError as error:
        print(error, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
