import socket

import pytest
import torch

from modalink.errors import TrainingError
from modalink.planning.machine import machine


def test_one_process_says_how_to_start_more(make_recipe):
    lines = list(machine(make_recipe(), torch.device("cpu"), 1))
    assert lines[0].startswith("computes on cpu, where bfloat16 is ")
    assert lines[1:] == ["1 process; `modalink train --processes N` starts more"]


def test_several_know_their_backend_a_port_and_their_shares(make_recipe):
    text = "\n".join(machine(make_recipe(), torch.device("cpu"), 2))
    assert "2 processes, whose gradients go by gloo, all else by gloo" in text
    assert "at a port that is free: now " in text
    assert "stage pretrain: 1 of 2 conversations a step for each\nstage instruct: 2 of 4" in text


def test_what_processes_cannot_share_is_told(make_recipe, monkeypatch):
    with pytest.raises(TrainingError, match="stage pretrain: found batch 2 and 3 processes"):
        list(machine(make_recipe(), torch.device("cpu"), 3))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    monkeypatch.setattr("modalink.planning.machine._devices", lambda device: iter(()))
    with pytest.raises(TrainingError, match="found 1 cuda devices and 2 processes, needed one for each"):
        list(machine(make_recipe(), torch.device("cuda"), 2))


def test_without_a_port_it_says_what_is_needed(make_recipe, monkeypatch):
    def refused(*arguments):
        raise PermissionError("not allowed")

    monkeypatch.setattr(socket, "create_server", refused)
    with pytest.raises(
        TrainingError, match=r"cannot reach each other here \(not allowed\); needed a network interface"
    ):
        list(machine(make_recipe(), torch.device("cpu"), 2))
