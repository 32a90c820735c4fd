"""Trains Shap-E's prior: it restores the latents of solids from noise, given the vector of a caption."""

import numpy as np
import torch
from diffusers import HeunDiscreteScheduler, PriorTransformer
from torch import Tensor

from modalink.generators.shap_e import ShapEConfig
from modalink.tiny_world.solids.language import describe_bodies
from modalink.zoo.build import caption_towers, cards, made, solid_renderer
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.solid_renderer import FOLDER, LATENT, ROWS
from modalink.zoo.solid_classifier import SolidClassifier

SCHEDULE = Schedule(steps=2500, lr=1.5e-3, batch=48, ema=0.998, evaluate_every=800, weight_decay=0.01)
GUIDANCE, SAMPLING_STEPS, GRID = 1.0, 16, 40
"""Scale of guidance, Heun's steps, and points along a side of the grid that solids are scored at."""
_CLOUDS = 20_000
_REWORDED = 0.2
_UNCONDITIONAL = 0.1
_CARD = f"""# {FOLDER}

Text-to-solid generator of the tiny world in Shap-E's folder layout: captions to meshes with colours.
`modalink zoo build solid_text solid_renderer solid_prior` makes it; how each part was made and how good it is stands
in its own folder. It was scored at guidance {GUIDANCE:g}, {SAMPLING_STEPS} steps of Heun's solver and a grid of {GRID}
points a side.
"""


def model() -> PriorTransformer:
    """Shape of the tiny prior: a transformer over the rows of a shape's latents."""
    return PriorTransformer(
        num_attention_heads=3,
        attention_head_dim=32,
        num_layers=3,
        embedding_dim=LATENT,
        num_embeddings=ROWS,
        additional_embeddings=0,
        time_embed_act_fn="gelu",
        norm_in_type="layer",
        embedding_proj_dim=caption_towers.WIDTH,
        encoder_hid_proj_type=None,
        added_emb_type=None,
        time_embed_dim=192,
        clip_embed_dim=2 * LATENT,
    )


def scheduler() -> HeunDiscreteScheduler:
    """Shap-E's noise schedule; latents lie from -1 to 1, and so does what is predicted."""
    return HeunDiscreteScheduler(
        beta_schedule="exp",
        num_train_timesteps=1024,
        prediction_type="sample",
        use_karras_sigmas=True,
        clip_sample=True,
    )


def loss(prior: PriorTransformer, latents: Tensor, vectors: Tensor, kept: Tensor) -> tuple[Tensor, Metrics]:
    """Squared error of the restored latents; zeros stand for captions that are left out."""
    dropped = torch.rand(len(latents)) < _UNCONDITIONAL
    vectors = vectors * ~dropped[:, None] * vectors.shape[-1] ** 0.5
    times = torch.randint(len(kept), (len(latents),))
    share = kept[times][:, None, None]
    noisy = share.sqrt() * latents + (1 - share).sqrt() * torch.randn_like(latents)
    with autocast():
        found = prior(noisy, timestep=times, proj_embedding=vectors).predicted_image_embedding
    error = (found[..., :LATENT].float() - latents).square().mean()
    return error, {}


def build(options: Options) -> Metrics:
    """Train the prior and write it with scheduler and index as a Shap-E folder."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    prior = model()
    trainer = Trainer(prior, schedule, options.work / "solid_prior")
    bodies, placed = solid_renderer.shapes("train", options.count(_CLOUDS), 3)
    latents, rng = solid_renderer.latents_of(placed, options), np.random.default_rng(0)
    texts = [describe_bodies(one, rng if rng.random() < _REWORDED else None) for one in bodies]
    read = caption_towers.SOLIDS.load(options)
    vectors = torch.cat([read(texts[i : i + 500])[0][:, 0] for i in range(0, len(texts), 500)])
    kept = scheduler().alphas_cumprod

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rows = np.random.default_rng([9600 + schedule.seed, step]).integers(len(latents), size=schedule.batch)
        return loss(prior, latents[rows], vectors[rows], kept)

    def score(split: str, count: int) -> Metrics:
        publish(prior, options)
        config = ShapEConfig(
            checkpoint=str(options.out / FOLDER), dtype="float32", guidance=GUIDANCE, steps=SAMPLING_STEPS, grid=GRID
        )
        classifier = SolidClassifier.load(options.out / "solid_classifier")
        return made.measure(config.build(), "points", split, count, classifier)

    validation = trainer.run(step_loss, lambda: score("validation", options.count(64)))
    test = score("test", options.count(300))
    cards.write(options, "solid_prior", f"{FOLDER}/prior", schedule, prior, validation, test)
    return validation


def publish(prior: PriorTransformer, options: Options) -> None:
    """Write prior, scheduler and index beside the other parts of the pipeline."""
    folder = options.out / FOLDER
    cards.save_bf16(prior, folder / "prior")
    scheduler().save_pretrained(folder / "scheduler")
    parts = {
        "prior": ["diffusers", "PriorTransformer"],
        "scheduler": ["diffusers", "HeunDiscreteScheduler"],
        "shap_e_renderer": ["shap_e", "ShapERenderer"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }
    cards.write_index(folder, "ShapEPipeline", parts, _CARD)
