"""Trains Shap-E's renderer: latents become weights of a network that knows how deep a point lies in a shape.

Source: Jun and Nichol, Shap-E (arXiv 2305.02463), section 4.2. The paper's encoder reads points and pictures of meshes;
here, where all of a shape is known, the encoder that is thrown away reads the numbers that say it.
"""

import numpy as np
import torch
from diffusers.pipelines.shap_e import ShapERenderer
from diffusers.pipelines.shap_e.renderer import encode_position
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modalink import tensor_files
from modalink.errors import PartError
from modalink.tiny_world.solids.bodies import Bodies, sample_bodies
from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer
from modalink.zoo.build.marching_cubes import marching_cubes
from modalink.zoo.build.options import Options
from modalink.zoo.build.solid_fields import NUMBERS, Placed, field, numbers, place_all

SCHEDULE = Schedule(steps=5000, lr=2e-3, batch=24, ema=0.998, evaluate_every=1000, weight_decay=0.0)
FOLDER = "solid_diffusion"
ROWS, LATENT = 64, 8
"""Latents of a shape: rows, and numbers of each, from -1 to 1."""
_HIDDEN = 32
_POINTS = 192
"""Points at which a step asks, a third of them anywhere, the others near the surface."""
_NEAR = 0.03
_DEPTH = 0.08
"""Depth at which a point counts as wholly inside."""
_OCTAVES = 4
"""How many octaves of positions the network begins with; the finer ones are noise to it."""
_COLOUR_WEIGHT = 2.0
_LATENT_NOISE = 0.05
_SHAPES = 4_000
_ENCODER = "encoder.safetensors"


class Student(nn.Module):
    """The renderer with the encoder that is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.renderer = ShapERenderer(
            param_names=("nerstf.mlp.0.weight", "nerstf.mlp.1.weight"),
            param_shapes=((_HIDDEN, 93), (_HIDDEN, _HIDDEN)),
            d_latent=LATENT,
            d_hidden=_HIDDEN,
            n_hidden_layers=3,
            insert_direction_at=2,
        )
        self.renderer.mesh_decoder.cases, self.renderer.mesh_decoder.masks = marching_cubes()
        width = 192
        self.encoder = nn.Sequential(
            nn.Linear(2 * NUMBERS + 1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, ROWS * LATENT), nn.Tanh(),
        )  # fmt: skip
        self._begin()

    def _begin(self) -> None:
        """Start without the fine octaves of positions, and with weights of a usual size."""
        first, second = self.renderer.params_proj.projections.values()
        octave = torch.cat([torch.zeros(3), torch.arange(15).repeat_interleave(3).repeat(2)])
        with torch.no_grad():
            first.norm.weight.copy_((octave < _OCTAVES) * 0.3)
            second.norm.weight.fill_(_HIDDEN**-0.5)
            first.proj.bias.zero_()
            second.proj.bias.zero_()

    def latents(self, told: Float[Tensor, "b k"]) -> Float[Tensor, "b row d"]:
        """The latents of shapes by the numbers that say them."""
        found: Tensor = self.encoder(told).unflatten(-1, (ROWS, LATENT))
        return found

    def forward(
        self, latents: Float[Tensor, "b row d"], points: Float[Tensor, "b n 3"]
    ) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n 3"]]:
        """How deep points lie inside, from -1 to 1, and the renderer's colours."""
        weights = {
            name.removeprefix("nerstf.mlp."): value for name, value in self.renderer.params_proj(latents).items()
        }
        layers = self.renderer.mlp.mlp
        states = encode_position(points)
        for i, layer in enumerate(layers):
            if i == self.renderer.mlp.config.insert_direction_at:
                states = functional.pad(states, (0, layer.in_features - states.shape[-1]))
            own = weights.get(f"{i}.weight")
            states = layer(states) if own is None else torch.baddbmm(layer.bias, states, own.transpose(1, 2))
            states = functional.silu(states) if i < len(layers) - 1 else states
        return states[..., 0].tanh(), states[..., 3:6].sigmoid()


def srgb(linear: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """What the renderer must say so that its meshes, whose colours are linear, have these."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0.0031308) ** (1 / 2.4) - 0.055)


def shapes(split: str, count: int, seed: int) -> tuple[list[Bodies], list[list[Placed]]]:
    """The first clouds of a split with their solids, placed at random."""
    bodies = [sample_bodies(number, split) for number in range(count)]
    return bodies, [place_all(one, np.random.default_rng([seed, i])) for i, one in enumerate(bodies)]


def ask(placed: list[Placed], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points [n, 3] around some solids, how deep they lie, from -1 to 1, and their colours."""
    around = 2 * _POINTS // 3
    tried = np.concatenate(
        [rng.uniform(-1.1, 1.1, (6 * _POINTS, 3)) * one.radius + (*one.middle, 0.0) for one in placed]
    )
    depths, _ = field(placed, tried)
    near = tried[np.argsort(np.abs(depths))[: len(placed) * 2 * around]]
    near = near[rng.permutation(len(near))[:around]] + rng.normal(0, _NEAR, (around, 3))
    points = np.concatenate([rng.uniform(-1, 1, (_POINTS - around, 3)), near]).clip(-1, 1)
    depths, colours = field(placed, points)
    return points, (depths / _DEPTH).clip(-1, 1), colours


def loss(student: Student, told: Tensor, points: Tensor, depths: Tensor, colours: Tensor) -> tuple[Tensor, Metrics]:
    """Squared errors of depths, and of colours near the surface."""
    latents = student.latents(told)
    found, shades = student(latents + _LATENT_NOISE * torch.randn_like(latents), points)
    depth = (found - depths).square().mean()
    near = (depths.abs() < 1).float()[..., None]
    colour = (near * (shades - colours).square()).sum() / near.sum().clamp(min=1) / 3
    return depth + _COLOUR_WEIGHT * colour, {"depth": depth.item(), "colour": colour.item()}


def _batch(placed: list[list[Placed]], rng: np.random.Generator) -> list[Tensor]:
    asked = [ask(one, rng) for one in placed]
    points, depths, colours = (torch.from_numpy(np.stack(part)).float() for part in zip(*asked, strict=True))
    return [torch.stack([numbers(one) for one in placed]), points, depths, torch.from_numpy(srgb(colours.numpy()))]


@torch.no_grad()
def measure(student: Student, split: str, count: int) -> Metrics:
    """Share of points near surfaces that are rightly said to lie inside or outside, and the error of colours."""
    _, placed = shapes(split, count, 1)
    told, points, depths, colours = _batch(placed, np.random.default_rng(2))
    found, shades = student(student.latents(told), points)
    near = depths.abs() < 1
    right = ((found > 0) == (depths > 0)).float()
    error = (shades - colours).abs()[near].mean().item()
    return {"inside": right.mean().item(), "inside_near": right[near].mean().item(), "colour_error": error}


def build(options: Options) -> Metrics:
    """Train the renderer and write it."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    student = Student()
    trainer = Trainer(student, schedule, options.work / "solid_renderer")
    bodies, _ = shapes("train", options.count(_SHAPES), 0)

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([9500 + schedule.seed, step])
        rows = rng.integers(len(bodies), size=schedule.batch)
        return loss(student, *_batch([place_all(bodies[row], rng) for row in rows], rng))

    def publish() -> None:
        cards.save_bf16(student.renderer, options.out / FOLDER / "shap_e_renderer")
        # The encoder is part of no pipeline: what learns to draw latents finds it here.
        tensor_files.save(student.encoder.state_dict(), options.work / "solid_renderer" / _ENCODER)

    validation = trainer.run(step_loss, lambda: measure(student, "validation", options.count(200)), publish)
    test = measure(student.eval(), "test", options.count(500))
    cards.write(options, "solid_renderer", f"{FOLDER}/shap_e_renderer", schedule, student.renderer, validation, test)
    return validation


@torch.no_grad()
def latents_of(placed: list[list[Placed]], options: Options) -> Float[Tensor, "n row d"]:
    """The latents of solids, by the encoder that learned with the renderer."""
    student = Student().eval()
    student.encoder.load_state_dict(tensor_files.read(options.work / "solid_renderer" / _ENCODER, PartError))
    return student.latents(torch.stack([numbers(one) for one in placed]))
