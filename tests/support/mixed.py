"""Systems of tiny random parts that read and make pictures and whistles, and a head that is told what to ask for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_stable_diffusion, tiny_whisper

_DRAWING = {"kind": "transformer", "width": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2}


def mixed_spec(
    folder: Path, *, reads: Sequence[str] = ("image", "audio"), llm: Callable[..., Path] = tiny_llama,
    template: str = "vicuna-v1.1", read_back: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """The parts of a system that makes pictures of three signal tokens and whistles of two; the kind must be installed."""
    encoders = {
        "image": {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))},
        "audio": {"kind": "whisper", "checkpoint": str(tiny_whisper(folder / "whisper")), "drop_padding": True},
    }
    diffusion = {"kind": "stable_diffusion", "checkpoint": str(tiny_stable_diffusion(folder / "diffusion")), "steps": 2}
    spec: dict[str, Any] = {
        "inputs": {name: {"encoder": encoders[name], "projector": {"kind": "mlp"}} for name in reads},
        "llm": {"checkpoint": str(llm(folder / "llm"))},
        "prompt": {"template": template},
        "outputs": {
            "image": {"signal_tokens": 3, "projector": _DRAWING, "generator": diffusion},
            "audio": {"signal_tokens": 2, "projector": {"kind": "mlp"}, "generator": {"kind": "whistle"}},
        },
    }
    for modality in read_back:
        spec["outputs"][modality]["read_back"] = True
    return spec


def mixed_system(folder: Path, **options: Any) -> System:
    """The system, composed; options as for `mixed_spec`."""
    return compose(SystemSpec.model_validate(mixed_spec(folder, **options)))


@contextmanager
def saying(system: System, *script: str | None) -> Iterator[None]:
    """Let answers begin media where a script has their modality, say a word where it has None, and end behind it."""
    firsts = {modality: run[0] for modality, run in system.model.config.signals.items()}
    tokenizer, passes = system.processor.tokenizer, []
    spoken = tokenizer("red cube blue", add_special_tokens=False)["input_ids"]
    end, words = tokenizer.eos_token_id, [token for token in spoken if tokenizer.decode([token]).strip()]

    def change(module: Any, args: Any, logits: torch.Tensor) -> None:
        place = len(passes)
        passes.append(module)
        wanted = script[place] if place < len(script) else "end"
        for modality, first in firsts.items():
            logits[..., first] += 1e4 if modality == wanted else -1e4
        logits[..., end] += 1e4 if wanted == "end" else -1e4
        if wanted is None:
            logits[..., words[place % len(words)]] += 1e3

    hook = system.model.get_output_embeddings().register_forward_hook(change)
    try:
        yield
    finally:
        hook.remove()
