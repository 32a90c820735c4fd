"""How many damaged inputs a test tries: a few, always the same ones; under `make fuzz` many, by a seed."""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

EXAMPLES = "FUZZ_EXAMPLES"
"""The environment variable that `make fuzz` sets: inputs for each test of weight 1."""
_FEW = 25


def fuzzed(weight: float = 1.0) -> Callable[[Any], Any]:
    """Settings of a test of damaged inputs; the weight is larger where an input is cheap."""
    many = os.environ.get(EXAMPLES)
    return settings(
        max_examples=max(1, round(weight * int(many or _FEW))),
        derandomize=many is None,
        database=None,
        deadline=None,
        print_blob=many is not None,
        suppress_health_check=list(HealthCheck),
    )
