"""The kill storm: a run of three stages, killed at random places again and again, ends like one that nobody touched.

    python tests/robustness/storm.py --kills 100 --seed 7

Each run is killed by what befalls real ones (`kill -9`, `kill`, Ctrl-C once and twice) at random times and started
again until it is done; then its trained weights, metrics and ledgers are compared, byte by byte, with the unbroken
run's. The first difference ends the storm: the message names the seed, and the folder stays.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

import torch

from modalink.recipe import Recipe
from modalink.settings import RunSettings
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_stable_diffusion
from modalink.training.interrupts import Interrupted
from modalink.training.train import train

ENDS = ((signal.SIGKILL,), (signal.SIGKILL,), (signal.SIGTERM,), (signal.SIGINT,), (signal.SIGINT, signal.SIGINT))
FAILED = 70
_TIMES = ("seconds", "data_seconds", "tokens_per_s")
_PATIENCE = 120.0


def recipe(parts: Path) -> Recipe:
    """See, draw, then both: random parts, dropout, all objectives, a checkpoint at every second step."""
    data = {"source": "tiny_world", "count": 40}
    every: dict[str, Any] = {"batch": 2, "steps": 5, "checkpoint_every": 2, "precision": "float32"}
    seeing, drawing = "inputs.image.projector", "outputs.image.projector"
    stages = [
        {"name": "see", "train": {seeing: {"lr": 1e-2}}, "objectives": ["language"], "tasks": ["caption", "vqa"]},
        {"name": "draw", "train": {drawing: {"lr": 1e-2}}, "objectives": ["align"], "tasks": ["draw"]},
        {
            "name": "instruct",
            "train": {group: {"lr": 1e-2} for group in (seeing, drawing, "llm.lora", "llm.new_tokens")},
            "objectives": ["language", "align", "diffusion"],
            "tasks": ["vqa", "draw"],
        },
    ]
    for stage in stages:
        stage |= every | {"data": [data | {"tasks": stage.pop("tasks")}]}
        stage["objectives"] = [{"kind": kind} for kind in stage["objectives"]]
    checkpoints = {
        "vision": tiny_clip_vision(parts / "vision"),
        "llm": tiny_llama(parts / "llm"),
        "diffusion": tiny_stable_diffusion(parts / "diffusion"),
    }
    vision, llm, diffusion = map(str, checkpoints.values())
    link = {"kind": "transformer", "width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}
    reads = {"encoder": {"kind": "vision", "checkpoint": vision}, "projector": {"kind": "linear"}}
    makes = {
        "signal_tokens": 2,
        "projector": link,
        "generator": {"kind": "stable_diffusion", "checkpoint": diffusion},
    }
    return Recipe.model_validate(
        {
            "name": "storm",
            "inputs": {"image": reads},
            "llm": {"checkpoint": llm, "lora": {"rank": 2, "alpha": 4.0, "dropout": 0.2}},
            "prompt": {"template": "vicuna-v1.1"},
            "outputs": {"image": makes},
            "stages": stages,
        }
    )


def _train(text: str, run: str) -> None:
    """One start of the command, in a process of its own."""
    torch.set_num_threads(1)
    try:
        train(Recipe.model_validate(json.loads(text)), Path(run), settings=RunSettings(cache="off", threads=1))
    except Interrupted:
        sys.exit(Interrupted.exit_code)
    except Exception:
        traceback.print_exc()
        sys.exit(FAILED)


def differences(run: Path, other: Path) -> list[str]:
    """What two finished runs do not have in common: weights, metrics without their times, ledgers."""
    found = []
    files = {path.relative_to(folder) for folder in (run, other) for path in _results(folder)}
    for name in sorted(files):
        if not all((folder / name).is_file() for folder in (run, other)):
            found.append(f"{name}: there is one only")
        elif _content(run / name) != _content(other / name):
            found.append(f"{name}: differs")
    left = [path.name for path in run.iterdir() if path.name not in {p.name for p in other.iterdir()}]
    return found + [f"{name}: left over" for name in sorted(left)]


def _results(run: Path) -> list[Path]:
    return [*run.glob("model/*.safetensors"), *run.glob("*/metrics.jsonl"), *run.glob("*/ledger.jsonl")]


def _content(path: Path) -> Any:
    if path.name != "metrics.jsonl":
        return path.read_bytes()
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [{key: value for key, value in row.items() if key not in _TIMES} for row in rows]


class Storm:
    """Trains in processes that are forked from one that has imported everything and computed nothing."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self.recipe = json.dumps(recipe(folder / "parts").model_dump(mode="json"))
        self.processes = multiprocessing.get_context("forkserver")
        self.processes.set_forkserver_preload([__name__] if __name__ != "__main__" else ["modalink.training.train"])
        self.killed = 0

    def unbroken(self, run: Path) -> float:
        """Train in one go; the seconds that it took."""
        self.attempt(run)  # the first start also waits for the server of forks
        shutil.rmtree(run)
        began = time.monotonic()
        assert self.attempt(run) == 0, "the unbroken run failed"
        return time.monotonic() - began

    def attempt(self, run: Path, delay: float | None = None) -> int | None:
        """Start the run, and end it after `delay` seconds; its exit code."""
        process = self.processes.Process(target=_train, args=(self.recipe, str(run)))
        process.start()
        assert process.pid is not None
        process.join(_PATIENCE if delay is None else delay)
        if delay is not None and process.is_alive():
            self.killed += 1
            for number in self.rng.choice(ENDS):
                os.kill(process.pid, number)
                time.sleep(self.rng.random() / 20)
            process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            raise AssertionError(f"{run}: did not end within {_PATIENCE:g} s")
        return process.exitcode

    def blow(self, kills: int) -> None:
        """Until so many starts were killed, train runs through to their ends and compare them.

        Raises:
            AssertionError: A run ended unlike the unbroken one, or failed.
        """
        whole = self.folder / "whole"
        seconds = self.unbroken(whole)
        for number in range(kills):
            run = self.folder / f"run-{number}"
            while self.killed < kills:
                code = self.attempt(run, self.rng.random() * seconds)
                if code == 0:
                    break
                assert code != FAILED, f"{run}: failed after {self.killed} kills"
            assert self.attempt(run) == 0, f"{run}: failed when it was started again"
            found = differences(run, whole)
            assert not found, f"{run}: after {self.killed} kills found {'; '.join(found)}"
            shutil.rmtree(run)
            print(f"{self.killed} kills: equal", flush=True)
            if self.killed >= kills:
                return


def main() -> int:
    """Run the storm from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    print(f"seed {given.seed}, {given.kills} kills, in {folder}", flush=True)
    try:
        Storm(folder, given.seed).blow(given.kills)
    except AssertionError as error:
        print(f"seed {given.seed}: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
