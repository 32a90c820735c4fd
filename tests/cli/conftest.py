from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from modalink.cli.main import app
from modalink.model import System

RECIPE = """\
name: see
inputs:
  image:
    encoder: {kind: vision, checkpoint: "zoo:vision", layer: -1}
    projector: {kind: linear}
llm: {checkpoint: "zoo:llm"}
prompt: {template: chatml}
stages:
  - name: pretrain
    train: {inputs.image.projector: {lr: 1e-3}}
    objectives: [{kind: language}]
    data: [{source: tiny_world, count: 20, tasks: [vqa]}]
    batch: 2
    steps: 2
"""


@pytest.fixture
def modalink() -> Callable[..., Result]:
    """Runs the command line in this process."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A file with a recipe whose training takes a second."""
    file = tmp_path / "see.yaml"
    file.write_text(RECIPE)
    return file


@pytest.fixture(scope="module")
def run(make_reader: Callable[..., System], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of tiny random parts: image in, text out."""
    folder = tmp_path_factory.mktemp("runs")
    make_reader(folder).save(folder / "mine" / "model")
    return folder / "mine"
