"""Settings become threads and a device."""

import pytest
import torch

from modalink.errors import OptionError
from modalink.model.device import use
from modalink.settings import RunSettings


def test_threads_are_taken_and_left_alone_by_default():
    use(RunSettings(device="cpu", threads=3))
    assert torch.get_num_threads() == 3
    use(RunSettings(device="cpu"))
    assert torch.get_num_threads() == 3


def test_each_process_takes_an_accelerator_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    assert use(RunSettings()) == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert use(RunSettings()) == use(RunSettings(device="cuda")) == torch.device("cuda", 3)
    assert use(RunSettings(device="cuda:1")) == torch.device("cuda", 1)
    assert use(RunSettings(device="cpu")) == torch.device("cpu")


def test_without_an_accelerator_it_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    assert use(RunSettings()) == torch.device("cpu")


def test_a_device_that_is_none_is_told():
    with pytest.raises(OptionError, match="found the device 'gpu', needed cpu, cuda"):
        use(RunSettings(device="gpu"))


@pytest.mark.parametrize("name", ["cuda", "cuda:99", "mps", "meta", "xpu", "hpu", "vulkan:3"])
def test_a_device_that_this_machine_does_not_have_is_told(monkeypatch, name):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    with pytest.raises(
        OptionError, match=f"found the device '{name}', which this machine does not have; it has the CPU"
    ):
        use(RunSettings(device=name))
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("mtia"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    with pytest.raises(OptionError, match="does not have; it has mtia:0 to mtia:1"):
        use(RunSettings(device=name))
    with pytest.raises(OptionError, match="found the device 'mtia:2'"):
        use(RunSettings(device="mtia:2"))
    assert use(RunSettings(device="mtia:1")) == torch.device("mtia", 1)


def test_two_processes_of_a_machine_need_two_accelerators(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert use(RunSettings()) == torch.device("cuda", 0)
    with pytest.raises(
        OptionError, match="found the device cuda:1 for 2 processes of this machine, needed one for each"
    ):
        use(RunSettings(device="cuda:1"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(OptionError, match="found 2 cuda devices and 3 processes on this machine"):
        use(RunSettings())
