"""Flow matching: a network learns the velocity of the straight path from media to noise.

Source: Lipman et al., Flow Matching for Generative Modeling (arXiv 2210.02747); times that favour the middle of the
path and the shift towards noise: Esser et al. (arXiv 2403.03206).
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import diffusers
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from modalink import hub
from modalink.devices import to_device
from modalink.errors import PartError, shown
from modalink.generators._latent import LatentDiffusion
from modalink.generators._pipelines import PipelineConfig
from modalink.generators._steps import FlowPath
from modalink.roles import MediaOptions, Noised

Times = Literal["uniform", "logit_normal"]
"""How times are drawn when learning: evenly, or more of them in the middle of the path."""


class FlowConfig(PipelineConfig):
    """Settings of a generator that walks along a flow; the checkpoint is a diffusers pipeline."""

    times: Times = "logit_normal"
    """How times are drawn when learning: `uniform`, or more of them in the middle of the path."""
    shift: Annotated[float, Field(gt=0, le=100)] | None = None
    """How far times are moved towards noise, when learning and sampling; as the checkpoint's scheduler says if not
    set."""
    min_snr: float | None = Field(default=None, gt=0)
    """Min-SNR weighting of the error that clean latents have; none if not set, which is the plain error of velocity."""

    def new_solver(self, **changes: Any) -> Any:
        """A scheduler of diffusers for flows: the checkpoint's own, or DPM-Solver++ along the flow.

        Raises:
            PartError: DDIM was asked for, which no flow has.
        """
        if self.solver == "ddim":
            raise PartError("solver: found 'ddim', which walks no flow; needed 'checkpoint' or 'dpm'")
        facts, shift = self.component("scheduler"), self.fixed_shift()
        if self.solver == "dpm":
            flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift}
            return super().new_solver(**flow, **changes)
        own: dict[str, Any] = {name: shift for name in ("flow_shift", "shift") if name in facts}
        if self.shift is not None and "use_dynamic_shifting" in facts:
            own["use_dynamic_shifting"] = False
        return super().new_solver(**own, **changes)

    def fixed_shift(self) -> float:
        """How far times are moved, whatever is made."""
        facts = self.component("scheduler")
        own = facts.get("flow_shift", facts.get("shift", 1.0))
        with hub.foreign(
            PartError, f"{self.checkpoint}: found a shift {shown(own)} in scheduler/scheduler_config.json"
        ):
            return float(own) if self.shift is None else self.shift

    def growing_shift(self) -> "GrowingShift | None":
        """How far times are moved for media of a size, where the checkpoint's scheduler lets that depend on it."""
        facts = self.component("scheduler")
        if self.shift is not None or not facts.get("use_dynamic_shifting"):
            return None
        what = f"{self.checkpoint}: found no shift that grows with the size in scheduler/scheduler_config.json"
        with hub.foreign(PartError, what):  # where it does not say, diffusers takes these
            few, many = int(facts.get("base_image_seq_len", 256)), int(facts.get("max_image_seq_len", 4096))
            low, high = float(facts.get("base_shift", 0.5)), float(facts.get("max_shift", 1.15))
            if few >= many:
                raise ValueError(f"it is known of {few} and {many} tokens, needed fewer and more")
            return GrowingShift(few, many, low, high, exponential=facts.get("time_shift_type") != "linear")


@dataclass(frozen=True)
class GrowingShift:
    """A shift towards noise that grows with the latents of a medium: of more of them, less is hidden by as much noise.

    Source: Esser et al., section 5.3.2; the line through two sizes is that of diffusers' `calculate_shift`.

    Args:
        few: A number of tokens of latents.
        many: A larger one.
        low: `mu` of few.
        high: `mu` of many.
        exponential: Whether the shift is the exponential of `mu`, or `mu` itself.
    """

    few: int
    many: int
    low: float
    high: float
    exponential: bool = True

    def mu(self, tokens: int) -> float:
        """The shift as schedulers of diffusers are told it."""
        slope = (self.high - self.low) / (self.many - self.few)
        return tokens * slope + (self.low - slope * self.few)

    def of(self, tokens: int) -> float:
        """How far times are moved."""
        return math.exp(self.mu(tokens)) if self.exponential else self.mu(tokens)


def ending(steps: int) -> dict[str, Any]:
    """What a scheduler of diffusers must not do in so many steps: a single time, all noise, is no early end, too."""
    return {"shift_terminal": None} if steps == 1 else {}


class FlowMatching(LatentDiffusion):
    """Base of generators that walk along a flow; latents are float32 all the way.

    Args:
        times: See `Times`.
        shift: How far times are moved towards noise: of larger pictures, less is hidden by as much noise.
        settings: See `LatentDiffusion`.
    """

    walks_in = torch.float32
    usual_noise = 0.7

    def __init__(self, *, times: Times, shift: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.times, self.shift = times, shift

    def shift_of(self, shape: tuple[int, ...]) -> float:
        """How far times are moved for a medium whose latents have this shape."""
        return self.shift

    def noised(self, latents: Float[Tensor, "i ..."], rng: list[torch.Generator]) -> Noised:
        """Latents at a time of the flow that each item's rng draws."""
        scale, shift = int(self.solver.config.num_train_timesteps), self.shift_of(tuple(latents.shape[1:]))
        return along_flow(latents, rng, times=self.times, shift=shift, scale=scale, min_snr=self.min_snr)

    def path(self, asked: MediaOptions, device: torch.device) -> FlowPath:
        """Euler's steps along the flow."""
        assert asked.steps is not None
        fixed = {"shift": self.shift_of(self.latent_shape(asked)), "use_dynamic_shifting": False}
        with torch.device("cpu"):
            solver = diffusers.FlowMatchEulerDiscreteScheduler.from_config(
                self.solver.config, **fixed, **ending(asked.steps)
            )
        solver.set_timesteps(asked.steps)
        return FlowPath(solver, device)


def along_flow(
    latents: Float[Tensor, "i ..."],
    rng: list[torch.Generator],
    *,
    times: Times,
    shift: float,
    scale: int,
    min_snr: float | None = None,
) -> Noised:
    """Latents at a random time of the flow from media to noise.

    Args:
        latents: Clean latents.
        rng: For each item its own source of, in this order, time and noise.
        times: How times are drawn.
        shift: How far they are moved towards noise; 1 is not at all.
        scale: What the network takes for pure noise.
        min_snr: Weighs the error that clean latents would have by min(SNR, this); no weighting if None.
    """
    drawn = [_time(source, times) for source in rng]
    noises = [torch.randn(latents.shape[1:], generator=g, device=g.device) for g in rng]
    share = to_device(torch.cat(drawn), latents.device)
    share = shift * share / (1 + (shift - 1) * share)
    noise = to_device(torch.stack(noises), latents.device).to(latents)
    along = share.to(latents).view(-1, *[1] * (latents.ndim - 1))
    noisy = (1 - along) * latents + along * noise
    # Clean latents are the noisy ones less time times velocity, so their squared error is that of the velocity x time².
    snr = ((1 - share) / share).square()
    weight = None if min_snr is None else snr.clamp(max=min_snr) * share.square()
    return Noised(noisy, share * scale, noise - latents, weight, share)


def _time(source: torch.Generator, times: Times) -> Tensor:
    if times == "uniform":
        return torch.rand(1, generator=source, device=source.device)
    return torch.randn(1, generator=source, device=source.device).sigmoid()
