"""Peak memory of what generators make, counted without their weights and without computing.

Run: `python docs/tools/generator_memory.py`. The networks are built at their published sizes as fake tensors, which
know shapes but hold no numbers; every tensor of a call is counted from its making to its release. A sample's peak is
that of its largest call: the denoiser on a batch of two (guidance), or the VAE on a few frames, or on a whole clip
where it is one of clips.
"""

import sys
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import diffusers
import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modalink.generators import _clips
from modalink.generators.animatediff import AnimateDiffConfig
from modalink.generators.latte import LatteConfig
from modalink.generators.ltx import Ltx, LtxConfig
from modalink.generators.sana import SanaConfig
from modalink.generators.stable_diffusion import StableDiffusionConfig
from modalink.generators.stable_diffusion_xl import StableDiffusionXlConfig
from modalink.generators.zeroscope import ZeroscopeConfig
from modalink.roles import Conditions

SD = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CONFIGS: tuple[Any, ...] = (
    StableDiffusionConfig(checkpoint=SD),
    StableDiffusionXlConfig(checkpoint="stabilityai/stable-diffusion-xl-base-1.0"),
    SanaConfig(checkpoint="Efficient-Large-Model/Sana_1600M_1024px_diffusers"),
    ZeroscopeConfig(checkpoint="ali-vilab/text-to-video-ms-1.7b"),
    ZeroscopeConfig(checkpoint="cerspense/zeroscope_v2_576w", size="576x320"),
    AnimateDiffConfig(checkpoint=SD),
    LatteConfig(checkpoint="maxin-cn/Latte-1"),
    LtxConfig(checkpoint="Lightricks/LTX-Video", frames=17),
    LtxConfig(checkpoint="Lightricks/LTX-Video"),
)
GIB = 2**30


class Live(TorchDispatchMode):
    """Counts the bytes of tensors that are alive, and the most that were at once.

    Args:
        there: Tensors that were there before, and do not count.
    """

    def __init__(self, there: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self.there = [tensor.untyped_storage() for tensor in there]
        self.known = {storage._cdata for storage in self.there}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


@dataclass(frozen=True)
class Row:
    """The memory of one generator in bfloat16, in bytes."""

    name: str
    weights: int
    denoiser: int
    decoder: int

    @property
    def peak(self) -> int:
        """Of a whole sample."""
        return self.weights + max(self.denoiser, self.decoder)

    def __str__(self) -> str:
        numbers = (self.weights, self.denoiser, self.decoder, self.peak)
        return " | ".join([f"| {self.name}", *(f"{number / GIB:.2f}" for number in numbers)]) + " |"


def peak(call: Callable[[], Any], there: Iterable[torch.Tensor] = ()) -> int:
    """The most bytes that a call holds at once, beside what was there before."""
    with torch.no_grad(), Live(there) as live:
        call()
    return live.peak


def row(config: Any, items: int = 1) -> Row:
    """The memory of a sample of some items under guidance."""
    own = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with FakeTensorMode():
            return _row(config, items)
    finally:
        torch.set_default_dtype(own)


def _row(config: Any, items: int) -> Row:
    # Fake parameters cannot be moved, and are where and what they shall be.
    whole, solver = (
        patch.object(diffusers.ModelMixin, "to", lambda module, *to, **more: module),
        type(config).new_solver,
    )
    with whole, patch.object(type(config), "new_solver", unset_fake_temporarily()(solver)):  # it looks into its tables
        generator = config.build(weights=False)
    own = [*generator.parameters(), *generator.buffers()]
    weights = sum(tensor.nbytes for tensor in own)
    shape = generator.latent_shape(generator.defaults)
    shapes = generator.condition_shapes
    both = {name: torch.zeros(2 * items, *s.item, dtype=torch.bfloat16) for name, s in shapes.items()}
    noisy, time = torch.zeros(2 * items, *shape, dtype=torch.bfloat16), torch.tensor(500)
    denoiser = peak(lambda: generator.predict(noisy, time, Conditions(both)), own)
    decoder = peak(_decoding(generator, shape, items), own)
    height, width = generator.defaults.size
    frames = generator.defaults.frames or shape[1]
    what = f"{frames} frames of " if len(shape) == 4 else ""
    return Row(
        f"`{config.kind}`, {config.checkpoint.partition('/')[2]}, {what}{width} x {height} px",
        weights,
        denoiser,
        decoder,
    )


def _decoding(generator: Any, shape: tuple[int, ...], items: int) -> Callable[[], Any]:
    """The largest call of the decoder."""
    if isinstance(generator, Ltx):
        clip = torch.zeros(shape, dtype=torch.bfloat16)
        return lambda: generator.decoded(clip)
    frames = min(_clips._TOGETHER, shape[1]) if len(shape) == 4 else items
    few = torch.zeros(frames, shape[0], *shape[-2:], dtype=torch.bfloat16)
    return lambda: generator.vae.decode(few).sample


if __name__ == "__main__":
    chosen = [config for config in CONFIGS if not sys.argv[1:] or config.kind in sys.argv[1:]]
    print("| sample | weights | denoiser | decoder | peak |\n| --- | --- | --- | --- | --- |")
    for config in chosen:
        print(row(config), flush=True)
