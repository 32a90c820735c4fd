"""Trains the image autoencoder, with most of the loss on objects: they cover little and would be left grey."""

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from modalink.zoo.build import cards
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.pool import Pool
from modalink.zoo.scene_classifier import SceneClassifier

SCHEDULE = Schedule(steps=1500, lr=2e-3, batch=16, ema=0.995, evaluate_every=500, weight_decay=0.0)
_PICTURES = 16_000
_OBJECT_WEIGHT = 8.0
_KL_WEIGHT = 1e-4


def model() -> AutoencoderKL:
    """Shape of the tiny autoencoder: 64 x 64 pixels to 4 x 16 x 16 latents."""
    vae = AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
    )
    vae.set_attn_processor(AttnProcessor())
    return vae


def loss(vae: AutoencoderKL, pixels: Tensor, weight: Tensor) -> tuple[Tensor, Metrics]:
    """Weighted absolute and squared error of the reconstruction, and a light pull of the latents to a unit normal."""
    with autocast():
        latents = vae.encode(pixels).latent_dist
        painted = vae.decode(latents.sample()).sample
    error = painted.float() - pixels
    fit = (weight * (error.abs() + error.square())).mean()
    kl = latents.kl().mean() / latents.mean[0].numel()
    return fit + _KL_WEIGHT * kl, {"fit": fit.item(), "kl": kl.item()}


def load_classifier(options: Options) -> SceneClassifier | None:
    """The scene classifier, None where it is not built yet."""
    folder = options.out / "scene_classifier"
    return SceneClassifier.load(folder) if (folder / "model.safetensors").exists() else None


def measure(vae: AutoencoderKL, pool: Pool, classifier: SceneClassifier | None) -> Metrics:
    """Fidelity of reconstructions in dB and, to the classifier, objects that keep shape and colour, or all."""
    painted = torch.cat(
        [
            vae.decode(vae.encode(pool.pixels(slice(i, i + 50))).latent_dist.mode()).sample
            for i in range(0, len(pool.scenes), 50)
        ]
    )
    error = (painted - pool.pixels(slice(None))).square().mean().item()
    found = {"psnr_db": 10 * np.log10(4 / error)}
    return found if classifier is None else found | drawn_objects(classifier, painted, pool)


def drawn_objects(classifier: SceneClassifier, painted: Tensor, pool: Pool) -> Metrics:
    """Share of the objects asked for that the classifier finds in their cells, and false objects a picture."""
    pictures = ((painted.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    hits = {"present": 0, "shape": 0, "colour": 0, "size": 0, "shape_colour": 0}
    asked = false = 0
    for found, scene in zip(classifier(pictures), pool.scenes, strict=True):
        by_cell = {item.cell: item for item in found}
        false += len(by_cell.keys() - {item.cell for item in scene.objects})
        for item in scene.objects:
            seen = by_cell.get(item.cell)
            asked += 1
            hits["present"] += seen is not None
            for name in ("shape", "colour", "size"):
                hits[name] += seen is not None and getattr(seen, name) == getattr(item, name)
            hits["shape_colour"] += seen is not None and (seen.shape, seen.colour) == (item.shape, item.colour)
    return {name: hit / asked for name, hit in hits.items()} | {"false_objects": false / len(pool.scenes)}


def build(options: Options) -> Metrics:
    """Train the autoencoder and write it with the factor that scales its latents to unit variance."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    vae = model()
    trainer = Trainer(vae, schedule, options.work / "vae")
    pool = Pool.render("train", options.count(_PICTURES))
    masks = torch.from_numpy(pool.masks())[:, None]
    # The classifier only watches here; it is built without the autoencoder and does not touch its training.
    classifier = load_classifier(options)

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rows = np.random.default_rng([4000 + schedule.seed, step]).integers(len(pool.scenes), size=schedule.batch)
        return loss(vae, pool.pixels(rows), 1 + _OBJECT_WEIGHT * masks[rows].float() / 255)

    def publish() -> None:
        latents = torch.cat([vae.encode(pool.pixels(slice(i, i + 50))).latent_dist.sample() for i in range(0, 500, 50)])
        vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
        cards.save_bf16(vae, options.out / "diffusion" / "vae")

    validation_pool = Pool.render("validation", options.count(300))
    validation = trainer.run(step_loss, lambda: measure(vae, validation_pool, classifier), publish)
    test = measure(vae.eval(), Pool.render("test", options.count(1000)), classifier)
    cards.write(options, "vae", "diffusion/vae", schedule, vae, validation, test)
    return validation


def load(options: Options) -> AutoencoderKL:
    """Load the built autoencoder, frozen."""
    vae = AutoencoderKL.from_pretrained(options.out / "diffusion" / "vae", torch_dtype=torch.float32)
    vae.set_attn_processor(AttnProcessor())
    return vae.eval().requires_grad_(False)
