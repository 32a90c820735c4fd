"""Trains the transformer that restores clips from noise, in the latents of the picture autoencoder, given captions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, LatteTransformer3DModel
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from modalink.generators._stable import TOKENS
from modalink.generators.latte import Latte, LatteConfig
from modalink.roles import Conditions, ConditionShape, MediaOptions
from modalink.tiny_world.clips.actors import ClipScene, sample_clip
from modalink.tiny_world.clips.animation import FPS, FRAMES, animate
from modalink.tiny_world.clips.language import describe_clip
from modalink.tiny_world.rendering import SIDE_PX
from modalink.zoo.build import caption_towers, cards, made, vae
from modalink.zoo.build.caption_towers import STATE_WIDTH
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.clip_classifier import ClipClassifier

FOLDER = "clip_diffusion"
SCHEDULE = Schedule(steps=10_000, lr=2e-3, batch=64, ema=0.995, evaluate_every=1000, weight_decay=0.01)
GUIDANCE, SAMPLING_STEPS = 1.0, 16
"""Scale of guidance and steps of DDIM that clips are scored at."""
_CLIPS, _TOGETHER = 20_000, 16
_WAYS = 16
"""In how many ways clips are drawn: backgrounds, shifts and sizes. All that chance allows takes longer to learn."""
_REWORDED = 0.2
_UNCONDITIONAL = 0.1
_OBJECT_WEIGHT, _SEEN = 4.0, 0.3
"""What errors count more where an object is, and how far latents are from those of the background there."""
_MOST_SNR = 4.0
_CARD = f"""# {FOLDER}

Text-to-clip generator of the tiny world in Latte's folder layout: captions to clips of eight frames of 64 x 64 px.
`modalink zoo build clip_text clip_transformer` makes it; how each part was made and how good it is stands in its own
folder. It was scored at guidance {GUIDANCE:g} and {SAMPLING_STEPS} steps of DDIM.

Its latents are those of the autoencoder of pictures, in `diffusion/vae`, which stands here no second time.
"""


@dataclass(frozen=True)
class Pool:
    """Latents [n, c, f, y, x] of clips, what errors count there [n, 1, f, y, x], and the conditions of captions."""

    latents: Tensor
    weights: Tensor
    conditions: Conditions

    @classmethod
    def of(cls, options: Options) -> "Pool":
        """The first clips of the training split; some captions are reworded."""
        rng = np.random.default_rng(1)
        clips = [sample_clip(number, "train") for number in range(options.count(_CLIPS))]
        clips = [replace(clip, background=number % _WAYS) for number, clip in enumerate(clips)]
        texts = [describe_clip(clip, rng if rng.random() < _REWORDED else None) for clip in clips]
        read = caption_towers.CLIPS.load(options)
        parts = [read(texts[i : i + 500]) for i in range(0, len(texts), 500)]
        states, there = (torch.cat(part) for part in zip(*parts, strict=True))
        latents, weights = cls._latents(clips, vae.load(options))
        return cls(latents, weights, Conditions({TOKENS: states}, {TOKENS: there}))

    @staticmethod
    def _latents(clips: Sequence[ClipScene], autoencoder: AutoencoderKL) -> tuple[Tensor, Tensor]:
        grounds = encode(autoencoder, [animate(ClipScene((), way))[:1] for way in range(_WAYS)])
        # Side by side: memory that many small tensors lie in cannot be given back.
        found = torch.zeros(len(clips), 4, FRAMES, 16, 16, dtype=torch.bfloat16)
        weights = torch.zeros(len(clips), 1, FRAMES, 16, 16, dtype=torch.bfloat16)
        for first in range(0, len(clips), _TOGETHER):
            some = clips[first : first + _TOGETHER]
            for i, latents in enumerate(encode(autoencoder, [animate(clip) for clip in some])):
                objects = (latents - grounds[some[i].background]).abs().amax(1, keepdim=True) > _SEEN
                found[first + i] = latents.transpose(0, 1)
                weights[first + i] = 1 + _OBJECT_WEIGHT * objects.float().transpose(0, 1)
        return found, weights


@torch.no_grad()
def encode(
    autoencoder: AutoencoderKL, clips: Sequence[UInt8[np.ndarray, "f 64 64 3"]]
) -> list[Float[Tensor, "f 4 16 16"]]:
    """The scaled latents of clips; frames that come again are encoded once."""
    numbers: dict[bytes, int] = {}
    rows = [[numbers.setdefault(frame.tobytes(), len(numbers)) for frame in clip] for clip in clips]
    once = np.stack([np.frombuffer(frame, np.uint8).reshape(clips[0].shape[1:]) for frame in numbers])
    pixels = torch.from_numpy(once).permute(0, 3, 1, 2).float() / 127.5 - 1
    with autocast():
        latents = autoencoder.encode(pixels).latent_dist.mode().float() * autoencoder.config.scaling_factor
    return [latents[row] for row in rows]


def generator(autoencoder: AutoencoderKL) -> Latte:
    """The tiny generator without its text encoder, whose transformer learns.

    Where the clean clip is predicted, patches may be large (Li and He, arXiv 2511.13720), and few of them learn most
    from a second of one core.
    """
    heads, width = 4, 40
    transformer = LatteTransformer3DModel(
        num_attention_heads=heads,
        attention_head_dim=width,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        cross_attention_dim=heads * width,
        attention_bias=True,
        sample_size=16,
        patch_size=8,
        activation_fn="gelu-approximate",
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        caption_channels=STATE_WIDTH,
        video_length=FRAMES,
    )
    made = Latte(
        transformer=transformer,
        vae=autoencoder,
        text_encoder=None,
        tokenizer=None,
        fps=FPS,
        solver=scheduler(),
        condition_shapes={TOKENS: ConditionShape(STATE_WIDTH, caption_towers.CLIPS.length, masked=True)},
        defaults=MediaOptions(steps=SAMPLING_STEPS, guidance=GUIDANCE, size=(SIDE_PX, SIDE_PX)),
    )
    transformer.requires_grad_(True)
    return made


def scheduler() -> DDIMScheduler:
    """A cosine schedule, in which the transformer predicts the clip: it is too small to say so much noise."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="sample", timestep_spacing="trailing", clip_sample=False
    )


def loss(student: Latte, pool: Pool, rows: Tensor) -> tuple[Tensor, Metrics]:
    """Weighted squared error of the predicted latents, with some captions left out."""
    asked = pool.conditions.take(rows.tolist())
    kept = torch.rand(len(rows), 1) >= _UNCONDITIONAL
    asked = Conditions(asked.tensors, {TOKENS: asked.mask(TOKENS) & kept})
    latents, schedule = pool.latents[rows].float(), student.schedule
    # Frames are much alike: it takes more noise than of pictures until the caption is needed.
    times = (torch.rand(len(rows)).sqrt() * schedule.config.num_train_timesteps).long()
    signal = schedule.alphas_cumprod[times].view(-1, 1, 1, 1, 1)
    noisy = schedule.add_noise(latents, torch.randn_like(latents), times)
    # Its backward pass is far faster on a CPU than that of the fused kernel.
    with autocast(), sdpa_kernel(SDPBackend.MATH):
        predicted = student.predict(noisy, times, asked)
    error = (predicted.float() - latents).square()
    weights = 1 + (signal / (1 - signal)).clamp(max=_MOST_SNR)
    return (weights * pool.weights[rows].float() * error).mean(), {"error": error.mean().item()}


def build(options: Options) -> Metrics:
    """Train the transformer and write it with scheduler and index as a Latte folder."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    student = generator(vae.load(options))
    trainer = Trainer(student.transformer, schedule, options.work / "clip_transformer")
    pool = Pool.of(options)

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([9500 + schedule.seed, step])
        return loss(student, pool, torch.from_numpy(rng.integers(len(pool.latents), size=schedule.batch)))

    def score(split: str, count: int) -> Metrics:
        publish(student, options)
        places = {"checkpoint": str(options.out / FOLDER), "vae": str(options.out / "diffusion")}
        own = LatteConfig(checkpoint=places["checkpoint"]).tiny().replace(**places, dtype="float32")
        classifier = ClipClassifier.load(options.out / "clip_classifier")
        return made.measure(own.build(), "video", split, count, classifier)

    validation = trainer.run(step_loss, lambda: score("validation", options.count(48)))
    test = score("test", options.count(200))
    card = f"{FOLDER}/transformer"
    cards.write(options, "clip_transformer", card, schedule, student.transformer, validation, test)
    return validation


def publish(student: Latte, options: Options) -> None:
    """Write transformer, scheduler and index beside the text encoder."""
    folder = options.out / FOLDER
    cards.save_bf16(student.transformer, folder / "transformer")
    student.solver.save_pretrained(folder / "scheduler")
    parts = {
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "transformer": ["diffusers", "LatteTransformer3DModel"],
        "vae": [None, None],
    }
    cards.write_index(folder, "LattePipeline", parts, _CARD)
