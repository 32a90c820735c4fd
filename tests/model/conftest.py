from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalink.conversation import Conversation
from modalink.model import System, compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_stable_diffusion

LORA = {"rank": 2, "alpha": 4.0, "targets": ["q_proj", "v_proj"]}


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., SystemSpec]:
    """A spec of tiny random parts: image in, text out; and image out when asked."""

    def make(
        *,
        llm: Path | None = None,
        join: str | dict = "splice",
        lora: bool = False,
        draws: bool = False,
        template: str = "vicuna-v1.1",
        **vision,
    ):
        encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(tmp_path / "vision")), **vision}
        data = {
            "inputs": {"image": {"encoder": encoder, "projector": {"kind": "mlp", "layers": 2}}},
            "llm": {
                "checkpoint": str(llm or tiny_llama(tmp_path / "llm")),
                "join": join,
                "lora": LORA if lora else None,
            },
            "prompt": {"template": template},
        }
        if draws:
            projector = {"kind": "transformer", "width": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2}
            generator = {"kind": "stable_diffusion", "checkpoint": str(tiny_stable_diffusion(tmp_path / "diffusion"))}
            data["outputs"] = {"image": {"signal_tokens": 3, "projector": projector, "generator": generator}}
        return SystemSpec.model_validate(data)

    return make


@pytest.fixture
def make_system(make_spec: Callable[..., SystemSpec]) -> Callable[..., System]:
    return lambda **options: compose(make_spec(**options))


@pytest.fixture
def picture() -> Callable[[int], Image.Image]:
    """A random picture for a seed."""
    return lambda seed: Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8))


@pytest.fixture
def talk() -> Callable[..., Conversation]:
    """A conversation from (role, pieces) pairs; a piece is text or a picture."""

    def make(*turns: tuple[str, list], id: str = "sample") -> Conversation:
        def block(piece):
            return {"type": "text", "text": piece} if isinstance(piece, str) else {"type": "image", "image": piece}

        return Conversation.from_messages(
            [{"role": role, "content": [block(piece) for piece in pieces]} for role, pieces in turns], id
        )

    return make
