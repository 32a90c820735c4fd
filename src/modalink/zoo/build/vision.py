"""Trains the image encoder: contrast with captions (locked text tower), and a head asking every patch its object."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

from modalink.tiny_world.language import describe
from modalink.tiny_world.scenes import COLOURS, SHAPES, Scene, split_of
from modalink.zoo.build import cards, text
from modalink.zoo.build.loop import Metrics, Schedule, Trainer, autocast
from modalink.zoo.build.options import Options
from modalink.zoo.build.pool import Pool
from modalink.zoo.build.targets import WIDTH, attribute_hits, attribute_loss, cell_targets

SCHEDULE = Schedule(steps=2600, lr=2e-3, batch=96, evaluate_every=400)
_PICTURES = 24_000
_SIDE_PX, _PATCH_PX = 64, 8
_MEAN, _STD = 0.5, 0.5
_CONTRAST_WEIGHT = 0.3


def config() -> CLIPVisionConfig:
    """Shape of the tiny image encoder."""
    return CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=_SIDE_PX,
        patch_size=_PATCH_PX,
        projection_dim=128,
    )


def processor() -> CLIPImageProcessorPil:
    """Preprocessing that belongs to the encoder."""
    size = {"height": _SIDE_PX, "width": _SIDE_PX}
    return CLIPImageProcessorPil(
        size={"shortest_edge": _SIDE_PX}, crop_size=size, image_mean=[_MEAN] * 3, image_std=[_STD] * 3
    )


class Student(nn.Module):
    """The image encoder with what is thrown away: the patch head and the two contrastive projections."""

    def __init__(self, text_width: int) -> None:
        super().__init__()
        self.tower = CLIPVisionModel(config())
        self.tower.set_attn_implementation("eager")
        width = self.tower.config.hidden_size
        self.patch_head = nn.Linear(width, WIDTH)
        self.image_side = nn.Linear(width, width, bias=False)
        self.text_side = nn.Linear(text_width, width, bias=False)
        self.scale = nn.Parameter(torch.tensor(2.5))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Give the pooled state [b, d] and what each patch names, logits [b, patch, WIDTH]."""
        out = self.tower(pixels)
        return out.pooler_output, self.patch_head(out.last_hidden_state[:, 1:])


def _cell_of_patch() -> Tensor:
    """The cell that the centre of each patch lies in, in reading order."""
    side = _SIDE_PX // _PATCH_PX
    third = torch.div((torch.arange(side) + 0.5) * 3, side, rounding_mode="floor").long()
    return (third[:, None] * 3 + third[None, :]).flatten()


CELL_OF_PATCH = _cell_of_patch()


def near_miss(scene: Scene, rng: np.random.Generator) -> Scene:
    """Change one attribute of one object to another value, staying among the compositions of training."""
    place = rng.integers(len(scene.objects))
    while True:
        values = {"shape": SHAPES[rng.integers(len(SHAPES))], "colour": COLOURS[rng.integers(len(COLOURS))]}
        name = ("shape", "colour")[rng.integers(2)]
        item = replace(scene.objects[place], **{name: values[name]})
        if item != scene.objects[place] and split_of(item) == "train":
            return replace(scene, objects=(*scene.objects[:place], item, *scene.objects[place + 1 :]))


def contrast(student: Student, pooled: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    """Symmetric contrastive loss against all captions of the batch and one near miss of each picture."""
    image = functional.normalize(student.image_side(pooled).float(), dim=-1)
    captions = functional.normalize(student.text_side(torch.cat([right, wrong])).float(), dim=-1)
    logits = student.scale.exp().clamp(max=50) * image @ captions.T
    target = torch.arange(len(image))
    return functional.cross_entropy(logits, target) + functional.cross_entropy(logits[:, : len(image)].T, target)


def measure(student: Student, pool: Pool) -> Metrics:
    """Attributes of its cell's object that a patch names rightly: over all patches, and at the centre of each cell."""
    logits = torch.cat([student(pool.pixels(slice(i, i + 100)))[1] for i in range(0, len(pool.scenes), 100)])
    targets = cell_targets(pool.scenes)
    hits = attribute_hits(logits, targets[:, CELL_OF_PATCH])
    votes = torch.stack([logits[:, cell == CELL_OF_PATCH].mean(1) for cell in range(9)], dim=1)
    return hits | {f"cell_{name}": value for name, value in attribute_hits(votes, targets).items()}


def build(options: Options) -> Metrics:
    """Train the image encoder and write it with its preprocessing."""
    schedule = SCHEDULE.scaled(options.steps_scale)
    torch.manual_seed(schedule.seed)
    text_tower, tokenizer = text.load(options)
    student = Student(text_tower.config.hidden_size)
    trainer = Trainer(student, schedule, options.work / "vision")
    pool = _pool(options)
    targets = cell_targets(pool.scenes)[:, CELL_OF_PATCH]

    def states(captions: list[str]) -> Tensor:
        ids = tokenizer(captions, padding="max_length", max_length=text.LENGTH, return_tensors="pt").input_ids
        with torch.no_grad():
            pooled: Tensor = text_tower(ids).pooler_output
        return pooled

    def step_loss(step: int) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng([5000 + schedule.seed, step])
        rows = rng.integers(len(pool.scenes), size=schedule.batch)
        scenes = [pool.scenes[row] for row in rows]
        with autocast():
            right = states([describe(scene) for scene in scenes])
            wrong = states([describe(near_miss(scene, rng)) for scene in scenes])
            pooled, named = student(pool.pixels(rows))
            pull = contrast(student, pooled, right, wrong)
        named_loss = attribute_loss(named, targets[rows])
        metrics = {"named": named_loss.item(), "contrast": pull.item()}
        return named_loss + _CONTRAST_WEIGHT * pull, metrics

    def publish() -> None:
        processor().save_pretrained(options.out / "vision")
        cards.save_bf16(student.tower, options.out / "vision")

    validation_pool = Pool.render("validation", options.count(1000))
    validation = trainer.run(step_loss, lambda: measure(student, validation_pool), publish)
    test = measure(student.eval(), Pool.render("test", options.count(2000)))
    shaky = measure(student, Pool.render("test", options.count(2000), augment=True))
    test |= {f"shaky_{name}": value for name, value in shaky.items() if name.startswith("cell")}
    cards.write(options, "vision", "vision", schedule, student.tower, validation, test)
    return validation


def _pool(options: Options) -> Pool:
    """A quarter clean pictures, the rest by shaky hands."""
    count = options.count(_PICTURES)
    clean = Pool.render("train", count // 4)
    shaky = Pool.render("train", count - count // 4, first=count // 4, augment=True)
    return Pool(clean.scenes + shaky.scenes, np.concatenate([clean.pictures, shaky.pictures]))
