"""A network that grows without end is stopped, whatever the numbers are called that ask for it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules import module

from modalink import hub
from modalink.errors import PartError

MANY = 10**7


class Chained(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rest = nn.ModuleList()
        for _ in range(MANY):
            self.rest.append(nn.Identity())


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for number in range(MANY):
            setattr(self, f"expert_{number}", nn.Identity())


class Tables(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.ParameterList()
        for _ in range(MANY):
            self.rows.append(nn.Parameter(torch.empty(1)))


@pytest.mark.parametrize("kind", [Chained, Named, Tables])
def test_what_no_model_has_is_not_walked(kind: type[nn.Module]) -> None:
    with pytest.raises(PartError, match=r"^it: it asks for more than 65,536 layers"), hub.building("it"):
        kind()
    with pytest.raises(PartError, match=r"^it: it asks"), hub.building("it"), hub.building("a piece of it"):
        kind()


def test_a_network_of_ordinary_size_is_built_as_it_is() -> None:
    with hub.building("it"):
        network = nn.Sequential(*(nn.Linear(1, 1) for _ in range(1000)))
    assert len(network) == 1000


def test_what_a_class_raises_is_said_in_words() -> None:
    with pytest.raises(PartError, match="it: Trying to create tensor with negative dimension"), hub.building("it"):
        nn.Linear(-1, 1)


def test_threads_can_build_at_once() -> None:
    """Torch walks over its hooks while a network is built: they stay the same, and what others build does not count."""

    def hooks() -> Any:
        return [*module._global_module_registration_hooks], [*module._global_parameter_registration_hooks]

    before = hooks()
    with hub.building("it"), ThreadPoolExecutor(1) as others:
        assert hooks() == before
        many = others.submit(lambda: [nn.Linear(1, 1) for _ in range(40_000)])
        assert len(many.result()) == 40_000
    assert hooks() == before
