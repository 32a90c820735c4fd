"""A training step of a LLaVA, side by side: transformers' own class on padded rows, and modalink's packed stream.

    python benchmarks/llava_step.py [--threads 1] [--batch 16]

Both have the same architecture (CLIP tower, two-layer MLP, Llama), the same texts of uneven length with one image each,
and train the projector and the LLM. `cached` takes the frozen features from the cache, as every epoch after
the first does.
"""

import argparse
import random
import tempfile
from pathlib import Path

import torch
from timing import race
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from modalink.model import Batch, Item, Prepared, System, collate, compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama

WIDTH, LAYERS, SIDE, VOCABULARY = 256, 6, 96, 32_000
VISION = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 8}
TEXT = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": LAYERS, "num_key_value_heads": 4}
PATCHES = (SIDE // 8) ** 2


def main() -> None:
    """Print milliseconds a step, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    lengths = [random.Random(0).randint(16, 160) for _ in range(options.batch)]
    with tempfile.TemporaryDirectory() as folder:
        system = ours(Path(folder))
    theirs = transformers_llava(system)
    batch = packed(system, lengths)
    features = {"image": system.model.encode("image", batch.media["image"])}
    cached = Batch(**{**vars(batch), "features": features})
    rows = padded(system, lengths)
    times = race(
        {
            "transformers, padded": lambda: backward(theirs(**rows).loss),
            "modalink, packed": lambda: backward(loss(system, batch)),
            "modalink, packed, cached": lambda: backward(loss(system, cached)),
        },
        rounds=5,
    )
    slowest = times["transformers, padded"]
    for name, seconds in times.items():
        print(f"{name:28}{1000 * seconds:9.0f} ms a step of {options.batch}   {slowest / seconds:5.2f} x")


def ours(folder: Path) -> System:
    """The composed system, its LLM and projector trainable."""
    llm = tiny_llama(folder / "llm", vocab_size=VOCABULARY, num_attention_heads=8, max_position_embeddings=2048, **TEXT)
    encoder = {
        "kind": "vision",
        "checkpoint": str(tiny_clip_vision(folder / "vision", image_size=SIDE, patch_size=8, **VISION)),
    }
    spec = {
        "inputs": {
            "image": {"encoder": encoder | {"layer": -2, "keep_cls": False}, "projector": {"kind": "mlp", "layers": 2}}
        },
        "llm": {"checkpoint": str(llm)},
        "prompt": {"template": "vicuna-v1.1"},
    }
    system = compose(SystemSpec.model_validate(spec))
    system.model.language_model.requires_grad_(True)
    return system


def transformers_llava(system: System) -> LlavaForConditionalGeneration:
    """transformers' LLaVA of the same sizes."""
    vision = CLIPVisionConfig(image_size=SIDE, patch_size=8, **VISION)
    text = LlamaConfig(vocab_size=VOCABULARY, num_attention_heads=8, max_position_embeddings=2048, **TEXT)
    token = system.model.config.placeholders["image"] % VOCABULARY
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=token, image_seq_length=PATCHES)
    model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.requires_grad_(False)
    return model


def packed(system: System, lengths: list[int]) -> Batch:
    """Samples as modalink batches them."""
    token = system.model.config.placeholders["image"]
    samples = []
    for i, length in enumerate(lengths):
        text = torch.randint(5, 300, (length,)).tolist()
        labels = [-100] * (PATCHES + length // 2) + text[length // 2 :]
        samples.append(
            Prepared(str(i), [token] * PATCHES + text, labels, {"image": [Item.of(torch.rand(3, SIDE, SIDE))]})
        )
    return collate(samples, packed=True, pad_id=0)


def padded(system: System, lengths: list[int]) -> dict[str, torch.Tensor]:
    """The same shapes as transformers' collators pad them."""
    token, longest = system.model.config.placeholders["image"] % VOCABULARY, PATCHES + max(lengths)
    ids, labels = torch.zeros(len(lengths), longest, dtype=torch.long), torch.full((len(lengths), longest), -100)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        text = torch.randint(5, 300, (length,))
        ids[row, :PATCHES], ids[row, PATCHES : PATCHES + length] = token, text
        labels[row, PATCHES + length // 2 : PATCHES + length] = text[length // 2 :]
        mask[row, : PATCHES + length] = 1
    return {
        "input_ids": ids,
        "labels": labels,
        "attention_mask": mask,
        "pixel_values": torch.rand(len(lengths), 3, SIDE, SIDE),
    }


def loss(system: System, batch: Batch) -> torch.Tensor:
    """Cross-entropy of the labelled tokens."""
    logits = system.model(**batch.inputs()).logits
    return torch.nn.functional.cross_entropy(logits.float(), batch.wanted)


def backward(value: torch.Tensor) -> None:
    """Gradients of everything that learns."""
    value.backward()


if __name__ == "__main__":
    main()
