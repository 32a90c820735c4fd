"""Trains the conditional UNet on latents and text states that are computed once."""

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from modalink.tiny_world.scenes import Scene
from modalink.zoo.build import cards, text, vae
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.pool import Pool
from modalink.zoo.scene_classifier import SceneClassifier

SCHEDULE = Schedule(steps=4400, lr=1.5e-3, batch=32, ema=0.999, evaluate_every=1000, weight_decay=0.01)
_PICTURES = 30_000
_REWORDED = 0.2
_UNCONDITIONAL = 0.1
_OBJECT_WEIGHT = 3.0
GUIDANCE = 3.0
"""Scale of classifier-free guidance that drawings are scored at."""
SAMPLING_STEPS = 20
"""DDIM steps that drawings are scored at."""
_CARD = f"""# diffusion

Text-to-image generator of the tiny world in Stable Diffusion's folder layout: captions to 64 x 64 pictures.
`modalink zoo build text vae unet` makes it; how each part was made and how good it is stands in its own folder.

It understands canonical captions such as "a large red circle at the top left, a small blue star in the center" best,
and was scored at guidance {GUIDANCE:g} and {SAMPLING_STEPS} DDIM steps. Weights are stored in bfloat16: load the
pipeline with `torch_dtype`, since its text encoder otherwise keeps the stored type and the other parts do not.
"""


def model(text_width: int) -> UNet2DConditionModel:
    """Shape of the tiny UNet: it attends to the text at 8 x 8 positions alone, where a position sees a whole object."""
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=text_width,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    unet.set_attn_processor(AttnProcessor())
    return unet


def scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, with the velocity as what the UNet predicts."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="leading",
    )


@dataclass(frozen=True)
class Cache:
    """What the frozen parts make of a pool: latents [n, 4, 16, 16], object shares [n, 1, 16, 16], text states."""

    latents: Tensor
    objects: Tensor
    states: Tensor
    no_caption: Tensor


@torch.no_grad()
def fill_cache(pool: Pool, encoder: AutoencoderKL, tower: CLIPTextModel, tokenizer: CLIPTokenizer) -> Cache:
    """Encode pictures and captions once; some captions are reworded."""
    rng = np.random.default_rng(0)
    latents, states = [], []
    for first in range(0, len(pool.scenes), 200):
        rows = slice(first, first + 200)
        with autocast():
            mean = encoder.encode(pool.pixels(rows)).latent_dist.mean
        latents.append((mean.float() * encoder.config.scaling_factor).bfloat16())
        reworded = rng.random(len(pool.scenes[rows])) < _REWORDED
        chosen = [rng if again else None for again in reworded]
        states.append(text_states(pool.scenes[rows], chosen, tower, tokenizer).bfloat16())
    masks = torch.from_numpy(pool.masks())[:, None]
    objects = torch.cat([torch.nn.functional.avg_pool2d(part.float() / 255, 4) for part in torch.split(masks, 1000)])
    empty = tokenizer("", padding="max_length", max_length=text.LENGTH, return_tensors="pt").input_ids
    return Cache(torch.cat(latents), objects.bfloat16(), torch.cat(states), tower(empty).last_hidden_state)


def text_states(
    scenes: list[Scene], rngs: list[np.random.Generator | None], tower: CLIPTextModel, tokenizer: CLIPTokenizer
) -> Tensor:
    """States [scene, token, d] of canonical captions, or of paraphrases where a generator is given."""
    ids = [text.captions([scene], rng, tokenizer) for scene, rng in zip(scenes, rngs, strict=True)]
    states: Tensor = tower(torch.cat(ids)).last_hidden_state
    return states


def loss(unet: UNet2DConditionModel, noiser: DDIMScheduler, cache: Cache, rows: Tensor) -> tuple[Tensor, Metrics]:
    """Squared error of the predicted velocity, objects weighted up, with some captions left out."""
    latents, states = cache.latents[rows].float(), cache.states[rows].float()
    dropped = torch.rand(len(rows)) < _UNCONDITIONAL
    states = torch.where(dropped[:, None, None], cache.no_caption, states)
    noise = torch.randn_like(latents)
    times = torch.randint(noiser.config.num_train_timesteps, (len(rows),))
    noisy = noiser.add_noise(latents, noise, times)
    with autocast():
        predicted = unet(noisy, times, encoder_hidden_states=states).sample
    error = (predicted.float() - noiser.get_velocity(latents, noise, times)).square()
    weight = 1 + _OBJECT_WEIGHT * cache.objects[rows].float()
    return (weight * error).mean(), {"error": error.mean().item()}


@torch.no_grad()
def draw(
    unet: UNet2DConditionModel, decoder: AutoencoderKL, states: Tensor, no_caption: Tensor, *, seed: int = 0
) -> Tensor:
    """Draw one picture for each row of text states [b, token, d]; pixels in -1..1."""
    noiser = scheduler()
    noiser.set_timesteps(SAMPLING_STEPS)
    latents = torch.randn(len(states), 4, 16, 16, generator=torch.Generator().manual_seed(seed))
    both = torch.cat([no_caption.expand_as(states), states])
    for time in noiser.timesteps:
        with autocast():
            predicted = unet(torch.cat([latents] * 2), time, encoder_hidden_states=both).sample.float()
        without, with_caption = predicted.chunk(2)
        latents = noiser.step(without + GUIDANCE * (with_caption - without), time, latents).prev_sample
    pixels: Tensor = decoder.decode(latents / decoder.config.scaling_factor).sample
    return pixels


def measure(
    unet: UNet2DConditionModel, decoder: AutoencoderKL, cache: Cache, pool: Pool, classifier: SceneClassifier | None
) -> Metrics:
    """Objects of drawings from captions that the classifier finds as asked for."""
    if classifier is None:
        return {}
    states = torch.split(cache.states.float(), 32)
    drawn = torch.cat([draw(unet, decoder, part, cache.no_caption, seed=i) for i, part in enumerate(states)])
    return vae.drawn_objects(classifier, drawn, pool)


def build(options: Options) -> Metrics:
    """Train the UNet and write it with scheduler and index as a Stable Diffusion folder."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    tower, tokenizer = text.load(options)
    autoencoder = vae.load(options)
    unet = model(tower.config.hidden_size)
    trainer = Trainer(unet, schedule, options.work / "unet")
    cache = fill_cache(Pool.render("train", options.count(_PICTURES)), autoencoder, tower, tokenizer)
    noiser = scheduler()
    classifier = vae.load_classifier(options)

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rows = np.random.default_rng([6000 + schedule.seed, step]).integers(len(cache.latents), size=schedule.batch)
        return loss(unet, noiser, cache, torch.from_numpy(rows))

    def score(split: str, count: int) -> Metrics:
        pool = Pool.render(split, count)
        told = fill_cache(pool, autoencoder, tower, tokenizer)
        return measure(unet, autoencoder, told, pool, classifier)

    validation = trainer.run(step_loss, lambda: score("validation", options.count(96)), lambda: publish(unet, options))
    test = score("test", options.count(400))
    cards.write(options, "unet", "diffusion/unet", schedule, unet, validation, test)
    return validation


def publish(unet: UNet2DConditionModel, options: Options) -> None:
    """Write UNet, scheduler and index beside the text tower and the autoencoder."""
    folder = options.out / "diffusion"
    cards.save_bf16(unet, folder / "unet")
    scheduler().save_pretrained(folder / "scheduler")
    parts = {
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    cards.write_index(folder, "StableDiffusionPipeline", parts, _CARD)
