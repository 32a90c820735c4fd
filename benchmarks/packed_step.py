"""A cached training step of LLaVA's first phase against transformers' Trainer on the same samples, in one run.

    python benchmarks/packed_step.py [--size small] [--batch 16] [--steps 12]

`--size full` (default on a GPU) is CLIP ViT-L/14-336, a two-layer MLP and a Llama of 1.1 billion, random weights in
bfloat16, projector trained; `--size small` (default on a CPU) is the same shape at tiny size and says nothing but that
this file runs. Features are cached, as in every epoch after the first; the Trainer encodes in every step.
Wanted on a GPU: 1.3 times the Trainer. Before segments were known on the host and the stream had one attention kernel
it was 0.66 times (31.3 against 47.3 samples/s on an H100); since then this has not been run on a GPU.
"""

import argparse
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from modalink.conversation import Conversation
from modalink.features.cache import FeatureCache
from modalink.model import Prepared, System, compose
from modalink.recipe import Recipe
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama
from modalink.training.freezing import freeze
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.opening import make_learner

VOCABULARY = 32_000


@dataclass(frozen=True)
class Size:
    """The two models' sizes."""

    side: int
    patch: int
    vision: dict[str, int]
    text: dict[str, int]
    dtype: str


def size(width: int, inner: int, layers: int, heads: int) -> dict[str, int]:
    """The fields that a tower and an LLM share."""
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


SIZES = {
    "full": Size(336, 14, size(1024, 4096, 24, 16), size(2048, 5632, 22, 32) | {"num_key_value_heads": 4}, "bfloat16"),
    "small": Size(32, 8, size(32, 64, 3, 4), size(32, 64, 2, 4) | {"num_key_value_heads": 2}, "float32"),
}


def main() -> None:
    """Print seconds a step of both, and the ratio."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="full" if gpu else "small")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    options = parser.parse_args()
    torch.manual_seed(0)
    chosen, device = SIZES[options.size], torch.device("cuda" if gpu else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        recipe = made(Path(folder), chosen, options.batch)
        system = compose(recipe, seed=0)
        samples = conversations(system, chosen, 2 * options.batch)
        ours = modalink_step(Path(folder), recipe, system, samples, options.steps, device)
        token = system.model.config.placeholders["image"]
        del system
        theirs = trainer_step(Path(folder), chosen, samples, token, options, device)
    tokens = sum(len(sample.input_ids) for sample in samples) // 2
    print(f"{device}, size {options.size}, {options.batch} samples and about {tokens:,} tokens a step")
    for name, seconds in (("transformers' Trainer", theirs), ("modalink, features cached", ours)):
        print(f"{name:28}{1000 * seconds:9.1f} ms a step{options.batch / seconds:9.1f} samples/s")
    print(f"ratio {theirs / ours:.2f}")


def made(folder: Path, chosen: Size, batch: int) -> Recipe:
    """A recipe of one stage that trains the projector."""
    vision = tiny_clip_vision(folder / "vision", image_size=chosen.side, patch_size=chosen.patch, **chosen.vision)
    llm = tiny_llama(folder / "llm", vocab_size=VOCABULARY, max_position_embeddings=4096, **chosen.text)
    encoder = {"kind": "vision", "checkpoint": str(vision), "layer": -2, "keep_cls": False, "dtype": chosen.dtype}
    stage = {
        "name": "pretrain",
        "train": {"inputs.image.projector": {"lr": 1e-4}},
        "objectives": [{"kind": "language"}],
        "data": [{"source": "messages", "path": str(folder / "unused.jsonl")}],
        "batch": batch,
        "steps": 100,
        "precision": chosen.dtype,
    }
    return Recipe.model_validate(
        {
            "name": "packed-step",
            "inputs": {"image": {"encoder": encoder, "projector": {"kind": "mlp", "layers": 2}}},
            "llm": {"checkpoint": str(llm), "dtype": chosen.dtype},
            "prompt": {"template": "vicuna-v1.1"},
            "stages": [stage],
        }
    )


def conversations(system: System, chosen: Size, count: int) -> list[Prepared]:
    """Questions of uneven length about pictures."""
    found = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (480, 640, 3), dtype=np.uint8)
        picture = {"type": "image", "image": Image.fromarray(pixels)}
        question = "what " * random.Random(number).randint(10, 35)
        content = [picture, {"type": "text", "text": question}]
        messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "a red cube " * 5}]
        found.append(system.processor.prepare(Conversation.from_messages(messages, str(number))))
    return found


def modalink_step(
    folder: Path, recipe: Recipe, system: System, samples: list[Prepared], steps: int, device: torch.device
) -> float:
    """Median seconds of a step, after every feature was cached."""
    run = Run(folder, recipe, system, FeatureCache(), device, lambda event: None, StopRequest())
    stage = recipe.stages[0]
    trained = freeze(system.model, system.model.trainable_groups(), stage.train)
    learner = make_learner(run, stage, trained, steps=100)
    times = []
    for step in range(steps + 4):
        half = samples[: stage.batch] if step % 2 else samples[stage.batch :]
        began = time.perf_counter()
        learner.learn(step, half)
        synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times[4:])


def trainer_step(
    folder: Path,
    chosen: Size,
    samples: list[Prepared],
    placeholder: int,
    options: argparse.Namespace,
    device: torch.device,
) -> float:
    """Median seconds of a step of the Trainer, from batch to batch."""
    gpu = device.type == "cuda"
    vision = CLIPVisionConfig(image_size=chosen.side, patch_size=chosen.patch, **chosen.vision)
    text = LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=4096, **chosen.text)
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=VOCABULARY - 1,
        image_seq_length=(chosen.side // chosen.patch) ** 2,
    )
    config._attn_implementation = "sdpa"
    model = LlavaForConditionalGeneration(config).to(getattr(torch, chosen.dtype)).requires_grad_(False)
    model.model.multi_modal_projector.requires_grad_(True)
    arguments = TrainingArguments(
        str(folder / "trainer"),
        per_device_train_batch_size=options.batch,
        max_steps=options.steps + 4,
        learning_rate=1e-4,
        bf16=gpu,
        use_cpu=not gpu,
        dataloader_num_workers=8 if gpu else 0,
        dataloader_persistent_workers=gpu,
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    clock = Clock(device)
    rows = [row(sample, placeholder, chosen.side) for sample in samples]
    Trainer(model, arguments, data_collator=padded, train_dataset=rows, callbacks=[clock]).train()
    return statistics.median(np.diff(clock.ends)[3:])


class Clock(TrainerCallback):
    """Notes when each step has ended."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.ends = device, []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        synchronize(self.device)
        self.ends.append(time.perf_counter())


def row(sample: Prepared, placeholder: int, side: int) -> dict[str, torch.Tensor]:
    """A sample with the ids of transformers' model."""
    ids = torch.tensor(sample.input_ids)
    return {
        "input_ids": torch.where(ids == placeholder, VOCABULARY - 1, ids),
        "labels": torch.tensor(sample.labels),
        "pixel_values": torch.rand(3, side, side),
    }


def padded(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Rows as transformers' collators pad them."""
    fills = {"input_ids": 0, "labels": -100}
    batch = {
        name: torch.nn.utils.rnn.pad_sequence([row[name] for row in rows], batch_first=True, padding_value=fill)
        for name, fill in fills.items()
    }
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    batch["attention_mask"] = (torch.arange(batch["input_ids"].shape[1]) < lengths[:, None]).long()
    batch["pixel_values"] = torch.stack([row["pixel_values"] for row in rows])
    return batch


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done all it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
