"""The sensor that the documents work through becomes a plug-in, and a system learns from it."""

import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import yaml

import modalink
from modalink import kinds, modalities
from modalink.testing import check_encoder, check_modality

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-modality.md").read_text(encoding="utf-8")


def blocks(language):
    example = PAGE[PAGE.index("## A worked example") :]
    return re.findall(rf"```{language}\n(.*?)```", example, re.DOTALL)


def forget():
    for cached in (kinds.kinds, kinds.config_class, modalities.get, modalities.records):
        cached.cache_clear()


@pytest.fixture
def imu(tmp_path, monkeypatch):
    """The page's code, installed by the page's entry points."""
    (tmp_path / "imu.py").write_text("\n\n".join(blocks("python")), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    groups = tomllib.loads(blocks("toml")[0])["project"]["entry-points"]
    points = [EntryPoint(name, value, group) for group, named in groups.items() for name, value in named.items()]
    monkeypatch.setattr(kinds, "entry_points", lambda group: [point for point in points if point.group == group])
    forget()
    yield __import__("imu")
    forget()


def test_it_keeps_the_promises_of_its_roles(imu):
    check_modality(imu.RECORD)
    check_encoder(imu.ImuConfig(), from_files=False)


def test_a_system_learns_from_it_and_a_bad_file_stands_in_the_ledger(imu, tmp_path, monkeypatch):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number, word in enumerate(["walks", "sits", "walks"]):
        imu.write_imu(np.sin(np.arange(720).reshape(120, 6) * (1 + number % 2)), folder / f"{number}.csv")
        (folder / f"{number}.txt").write_text(word)
    (folder / "bad.csv").write_text("ax,ay\n1,2\n")
    (folder / "bad.txt").write_text("sits")
    monkeypatch.chdir(tmp_path)
    run = modalink.train(modalink.Recipe.model_validate(yaml.safe_load(blocks("yaml")[0])), tmp_path / "run")
    assert '"not_imu"' in (run / "learn" / "ledger.jsonl").read_text()
    session = modalink.load(run)
    assert session.ask("What does its owner do?", imu=str(folder / "0.csv"), max_new_tokens=2).text is not None
