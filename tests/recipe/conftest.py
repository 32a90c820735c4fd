from pathlib import Path

import pytest

SEE = """\
name: see
inputs:
  image:
    encoder: {kind: vision, checkpoint: "zoo:vision", layer: -1}
    projector: {kind: mlp, layers: 2}
llm:
  checkpoint: "zoo:llm"
  lora: {rank: 8, alpha: 16}
prompt: {template: chatml}
stages:
  - name: pretrain
    train:
      inputs.image.projector: {lr: 1e-3}
      llm.lora: {lr: 1e-4}
    objectives: [{kind: language}]
    data: [{source: tiny_world, count: 20}]
    batch: 8
    steps: 30
"""


@pytest.fixture
def see(tmp_path: Path) -> Path:
    """A file with a small, right recipe."""
    file = tmp_path / "see.yaml"
    file.write_text(SEE)
    return file
