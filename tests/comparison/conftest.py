"""Two little designs of the zoo's parts, and a comparison of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modalink.comparison import Comparison

_RECIPE = """\
name: {name}
inputs:
  image:
    encoder: {{kind: vision, checkpoint: "zoo:vision", layer: -1}}
    projector: {{kind: {projector}}}
  audio:
    encoder: {{kind: whisper, checkpoint: "zoo:audio"}}
    projector: {{kind: linear}}
llm: {{checkpoint: "zoo:llm", lora: {{rank: 2, alpha: 4}}}}
prompt: {{template: chatml}}
outputs:
  image:
    signal_tokens: 2
    projector: {{kind: mixer}}
    generator: {{kind: stable_diffusion, checkpoint: "zoo:diffusion"}}
stages:
  - name: hear
    train: {{inputs.audio.projector: {{lr: 1e-3}}}}
    objectives: [{{kind: language}}]
    data: [{{source: tiny_world, shows: [audio], tasks: [vqa]}}]
    batch: 7
    epochs: 1
  - name: see
    train: {{inputs.image.projector: {{lr: 1e-3}}, outputs.image.projector: {{lr: 1e-3}}}}
    objectives: [{{kind: language}}, {{kind: align}}]
    data: [{{source: tiny_world}}]
    batch: 5
    micro_batch: 1
    steps: 3
  - name: talk
    train: {{inputs.image.projector: {{lr: 1e-3}}, llm.lora: {{lr: 1e-4}}, llm.new_tokens: {{lr: 1e-4}}}}
    objectives: [{{kind: language}}, {{kind: align}}]
    data: [{{source: tiny_world}}]
    batch: 5
    steps: 3
"""


@pytest.fixture
def recipes(tmp_path: Path) -> dict[str, str]:
    """Files of two systems that read and draw, which differ in a projector."""
    for projector in ("linear", "mlp"):
        text = _RECIPE.format(name="anything", projector=projector)
        (tmp_path / f"{projector}.yaml").write_text(text)
    return {name: str(tmp_path / f"{name}.yaml") for name in ("linear", "mlp")}


@pytest.fixture
def make_comparison(recipes: dict[str, str]) -> Callable[..., Comparison]:
    """A comparison of the two; keywords change it."""

    def make(**changes: Any) -> Comparison:
        return Comparison.model_validate(
            {
                "designs": [{"name": name, "recipe": recipe} for name, recipe in recipes.items()],
                "data": [{"source": "tiny_world", "count": 40, "tasks": ["caption", "vqa"]}],
                "benchmarks": {"accuracy": {"name": "tiny_world", "options": {"count": 18}}},
                "steps": 5,
                "batch": 2,
                **changes,
            }
        )

    return make
