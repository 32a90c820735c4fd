"""Two processes learn what one learns, and end together."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from typer.testing import CliRunner, Result

import modalink
from modalink.cli.main import app
from modalink.recipe import Recipe
from modalink.training.objectives.itm import ItmConfig
from modalink.training.train import train
from tests.support.forks import ended_together, exit_code, said, start
from tests.support.run_files import recipe_file
from tests.training.child import SHARES, seen, whole_batch

CHILD = str(Path(__file__).with_name("child.py"))
PROGRAM = str(Path(modalink.__file__).with_name("__main__.py"))
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


def _command(*arguments: str) -> Result:
    """The command line in this process, which starts the others."""
    return CliRunner(env={"OMP_NUM_THREADS": "1"}).invoke(app, [*arguments])


def _two(recipe: Recipe, run: Path, *fate: str) -> subprocess.CompletedProcess[str]:
    command = [*TORCHRUN, "--standalone", CHILD, recipe_file(recipe, run), str(run), *fate]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def test_two_processes_train_the_weights_that_one_trains(
    make_recipe: Callable[..., Recipe], data: dict[str, str], tmp_path: Path
) -> None:
    """A bad sample would be replaced out of its own process's share, so there is none here."""
    for text in ("ask", "draw"):
        lines = Path(data[text]).read_text().splitlines(keepends=True)
        (tmp_path / f"{text}.jsonl").write_text("".join(line for line in lines if "absent" not in line))
    folder = str(Path(data["ask"]).parent)
    whole = [
        {"source": "messages", "path": str(tmp_path / f"{text}.jsonl"), "media": folder} for text in ("ask", "draw")
    ]
    watched = {"every": 3, "data": whole[:1], "samples": 5}
    best = {"metric": "loss", "mode": "min"}
    recipe = make_recipe(micro_tokens=60, batch=4, data=whole, evaluate=watched | {"keep_best": best})
    one, two = tmp_path / "one", tmp_path / "two"
    train(recipe, one)
    done = _two(recipe, two, "count")
    assert done.returncode == 0, done.stderr
    _assert_contrast_is_that_of_one([json.loads(Path(f"{two}-contrast-{rank}.json").read_text()) for rank in (0, 1)])
    counts = [json.loads(Path(f"{two}-{rank}.json").read_text()) for rank in (0, 1)]
    learned = ("MlpProjector", "TransformerProjector", "LlamaForCausalLM", "LlamaDecoderLayer")
    for module in (*learned, "Sequential backward", "TransformerProjector backward", "LlamaDecoderLayer backward"):
        assert counts[0][module] == counts[1][module] > 0, module

    for stage in ("pretrain", "instruct"):
        lines = [
            [json.loads(x) for x in (run / stage / "metrics.jsonl").read_text().splitlines()] for run in (one, two)
        ]
        evaluations = [[line for line in found if "evaluation" in line] for found in lines]
        steps = [[line for line in found if "evaluation" not in line] for found in lines]
        assert len(steps[0]) == len(steps[1]) == 6
        assert [line["step"] for line in evaluations[1]] == [3, 6]
        for alone, together in zip(*evaluations, strict=True):
            assert together["evaluation"] == pytest.approx(alone["evaluation"], rel=1e-3)
        assert (two / stage / "checkpoints" / "best" / "state.json").exists()
        for alone, together in zip(*steps, strict=True):
            assert together["losses"] == pytest.approx(alone["losses"], rel=1e-3)
            assert together["units"] == alone["units"]
    weights = [load_file(run / "model" / "model.safetensors") for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        far = ~torch.isclose(weights[1][name], tensor, rtol=1e-2, atol=2e-3)
        # Adam moves a weight by a whole learning rate where rounding alone decides the sign of a gradient near zero.
        assert far.float().mean() < 1e-3, name
        assert (weights[1][name] - tensor).abs().max() < 6 * 1e-2, name


def _assert_contrast_is_that_of_one(found: list[list[dict[str, list[object]]]]) -> None:
    """Losses and gradients, added up over processes, are those of plain formulas on the whole batch, and of one process
    with all of it where wrong pairs are drawn."""
    items, texts, temperature = learned = [tensor.requires_grad_() for tensor in whole_batch()]
    batch, output, rngs = seen(learned, [0, 1, 2, 3], peers=None)
    similar = (items @ texts.T).amax(1) / temperature
    own = torch.arange(4)
    losses = {
        "itc": sum(
            functional.cross_entropy(each, own, reduction="sum", label_smoothing=0.1) for each in (similar, similar.T)
        )
        / 2,
        "sentence_contrast": functional.cross_entropy(
            texts @ texts.detach().T / temperature, own, reduction="sum", label_smoothing=0.1
        ),
    }
    losses["itm"] = ItmConfig().sum(output, batch, {}, rngs)
    assert losses["itm"] > 1
    for kind, loss in losses.items():
        gradients = torch.autograd.grad(loss, (items, texts, temperature), materialize_grads=True, allow_unused=True)
        for time, shares in enumerate(SHARES):
            added = [sum(map(torch.tensor, each)) for each in zip(*(rank[time][kind] for rank in found), strict=True)]
            for ours, whole in zip(added, (loss, *gradients), strict=True):
                wanted = whole if any(shares) else torch.zeros_like(whole)
                torch.testing.assert_close(ours, wanted.detach(), atol=1e-4, rtol=1e-4)


def test_two_processes_killed_go_on_to_the_bit(
    make_recipe: Callable[..., Recipe], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe(lora_dropout=0.3, batch=2)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    output = tmp_path / "output"
    two = partial(ended_together, CHILD, output=output, processes=2)
    assert two([recipe_file(recipe, whole), str(whole)]) == [0, 0], output.read_text()
    assert any(two([recipe_file(recipe, killed), str(killed), "kill", "instruct", "5"]))
    done = _command("train", recipe_file(recipe, killed), "--run", str(killed), "--processes", "2")
    words, errors = capfd.readouterr()
    assert done.exit_code == 0, (done.stderr, errors)
    assert words.count(f"{killed}: goes on where it stopped\n") == 1
    assert words.endswith(f"{killed}: complete\n")
    for name in ("model/model.safetensors", "pretrain/ledger.jsonl", "instruct/ledger.jsonl"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes() != b"", name


def test_a_batch_that_two_processes_cannot_share_is_refused(make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    file, run = recipe_file(make_recipe(batch=3), tmp_path / "run"), tmp_path / "run"
    message = "stage pretrain: found batch 3 and 2 processes, needed a batch that they can share evenly; change either"
    alone = _command("train", file, "--run", str(run), "--processes", "2")
    assert (alone.exit_code, alone.stderr) == (1, f"modalink: {message} of the two\n")
    output = tmp_path / "output"  # and as under torchrun
    assert ended_together(PROGRAM, ["train", file, "--run-dir", str(run)], output, processes=2) == [1, 1]
    assert f"modalink: {message} of the two\n" in output.read_text()


def test_ctrl_c_saves_on_all_processes_and_leaves_none(
    make_recipe: Callable[..., Recipe], pretrain, tmp_path: Path
) -> None:
    """The processes are found by the run folder in their command lines."""
    run, output = tmp_path / "run", tmp_path / "output"
    file = recipe_file(make_recipe(pretrain(steps=100_000, batch=2, checkpoint_every=100_000)), run)
    process = start(PROGRAM, ["train", file, "--run", str(run), "--processes", "2", "--json"], output)
    said(process, output, '"StepDone"')
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    assert exit_code(process) == 130
    assert _processes(run) == []
    (words,) = (line for line in output.read_text().splitlines() if not line.startswith("{"))
    assert words.startswith("modalink: stopped as asked after step ")
    assert list((run / "pretrain" / "checkpoints").iterdir())


def _processes(run: Path) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(run).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found
