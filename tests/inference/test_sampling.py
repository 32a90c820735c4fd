"""Options of an answer: any number is one that can be computed with, or refused."""

import pytest

from modalink.errors import OptionError
from modalink.inference import Sampling

HUGE = [float("inf"), float("nan"), 1e300, 10**30, -1]


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("name", ["max_new_tokens", "temperature", "top_p", "beams", "seed", "guidance", "steps"])
def test_a_number_that_nothing_computes_with_is_refused(name, value):
    with pytest.raises(OptionError, match=f"{name}: found "):
        Sampling.checked(**{name: value})


@pytest.mark.parametrize(
    ("temperature", "draws"), [(0, False), (1e-300, False), (9e-6, False), (1e-5, True), (1000, True)]
)
def test_a_temperature_of_nearly_nothing_is_none(temperature, draws):
    assert Sampling(temperature=temperature).draws == draws
