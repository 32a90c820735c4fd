"""Python programs of tests, each in a process of its own, forked from one that has imported everything and computed nothing.

A start so costs what the program does, and not the seconds that torch, transformers and the package take to be imported.
"""

import multiprocessing
import os
import runpy
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from torch.distributed import TCPStore

METHOD = "forkserver"
"""Of `multiprocessing`, whose forks these are."""
_FORKS = multiprocessing.get_context(METHOD)
_FORKS.set_forkserver_preload(["modalink.training.train"])
_PATIENCE_S = 250


def ended(program: str, arguments: Sequence[str], output: Path) -> int:
    """Run a program until it ends.

    Args:
        program: Its file.
        arguments: What follows its name.
        output: The file for what it says.

    Returns:
        Its exit code; of one that was killed the signal's number, negative, as `subprocess` gives it.
    """
    return exit_code(start(program, arguments, output))


def ended_together(program: str, arguments: Sequence[str], output: Path, *, processes: int) -> list[int]:
    """The same in several processes that find each other as `torchrun` lets them."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # a port that is free
    shared = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
    shared |= {
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    return [exit_code(one) for one in [start(program, arguments, output, shared | rank) for rank in ranks]]


def start(
    program: str, arguments: Sequence[str], output: Path, environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Start a program and give its process; arguments as for `ended`, and variables beside those of the test."""
    own = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    process = _FORKS.Process(target=_run, args=(program, list(arguments), str(output), own))
    process.start()
    return process


def exit_code(process: BaseProcess) -> int:
    """The exit code of a process when it has ended."""
    process.join(_PATIENCE_S)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"a process did not end within {_PATIENCE_S} s")
    return process.exitcode or 0


def said(process: BaseProcess, output: Path, words: str) -> None:
    """Wait until a process that goes on has said some words."""
    until = time.monotonic() + _PATIENCE_S
    while not (output.exists() and words in output.read_text()):
        assert process.is_alive() and time.monotonic() < until, output.read_text() if output.exists() else "nothing"
        time.sleep(0.01)


def _run(program: str, arguments: list[str], output: str, environment: dict[str, str]) -> None:
    """What a fork does: its environment is that of the test, and not of the first one that started any."""
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = [program, *arguments]
    runpy.run_path(program, run_name="__main__")
