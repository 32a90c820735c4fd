"""The processes of a Ray cluster that fill a cache."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

from modalink.errors import MissingExtraError
from modalink.training.caching.engines import TRIES, attempt, checked
from modalink.training.caching.work import Block, Done, Job
from modalink.training.launch import ProcessesFailed


class Cluster:
    """Processes that Ray starts: on the cluster that runs here or that `RAY_ADDRESS` names, else on this machine.

    Ray gives a block whose process or machine is lost to another one. Each process takes an accelerator where the
    settings ask for one, else a core for each of its threads.

    Args:
        job: What they are told; the cache's folder must be at the same path everywhere.
        count: How many blocks are under way at a time; None: as many as the cluster has room for.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, job: Job, count: int | None) -> None:
        self._ray = ray = _ray()
        # Ray shows each process its own accelerator alone, whatever its number is.
        device = (job.settings.device or "cpu").partition(":")[0]
        on_cpu = device == "cpu"
        threads = job.settings.threads or 1
        self._own = not ray.is_initialized()
        if self._own:
            _connect(ray, threads * (count or 1))
        have = ray.cluster_resources()
        room = have.get("CPU", 1) // threads if on_cpu else have.get("GPU", 1)
        self._count = count or max(1, int(room))
        needs: dict[str, Any] = {"num_cpus": threads} if on_cpu else {"num_cpus": 1, "num_gpus": 1}
        self._task = ray.remote(max_retries=TRIES, max_calls=0, **needs)(attempt)
        self._job = ray.put(replace(job, settings=job.settings.replace(device=device)))

    def close(self) -> None:
        """Leave the cluster, or end it where it was started here."""
        if self._own:
            self._ray.shutdown()

    def results(self, blocks: Iterable[Block]) -> Iterator[Done]:
        """See `Engine`."""
        waiting = iter(blocks)
        under_way = {self._task.remote(self._job, block): block for block in islice(waiting, self._count)}
        while under_way:
            (ready,), _ = self._ray.wait(list(under_way))
            block = under_way.pop(ready)
            try:
                answer = self._ray.get(ready)
            except self._ray.exceptions.RayError as error:
                raise ProcessesFailed(
                    f"stage {block.stage}: Ray could not compute the samples {block.start} to {block.stop - 1}: "
                    f"{str(error).strip().splitlines()[0]}; the same command resumes"
                ) from error
            yield checked(answer)
            under_way |= {self._task.remote(self._job, block): block for block in islice(waiting, 1)}


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise MissingExtraError("the engine 'ray'", "ray", "ray") from None
    return ray


def _connect(ray: Any, cores: int) -> None:
    """Join the cluster that runs, else start one here.

    Raises:
        ProcessesFailed: None can be started.
    """
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    with suppress(ConnectionError):
        ray.init(address="auto", **quiet)
        return
    for number in range(1, TRIES + 1):
        try:
            ray.init(address="local", num_cpus=cores, include_dashboard=False, **quiet)
            return
        except Exception as error:  # it gives its own processes half a minute, which a busy machine exceeds
            ray.shutdown()
            if number == TRIES:
                raise ProcessesFailed(f"Ray could not be started: {str(error).strip().splitlines()[0]:.200}") from error
