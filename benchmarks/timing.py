"""Times functions one against the other, in turns, so that a busy machine slows all of them alike."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def race(runners: Mapping[str, Callable[[], object]], *, rounds: int = 15) -> dict[str, float]:
    """Median seconds of each runner over some rounds, after one round to warm up."""
    found: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(rounds + 1):
        for name, run in runners.items():
            began = time.perf_counter()
            run()
            if number:
                found[name].append(time.perf_counter() - began)
    return {name: median(times) for name, times in found.items()}
