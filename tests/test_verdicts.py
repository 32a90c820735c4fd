"""Verdicts of probes: found once a machine."""

import json

import pytest

from modalink import verdicts
from modalink.settings import user_folder
from modalink.verdicts import Verdict, remembered

SUBJECT = {"class": "SomeModel", "config": {"width": 4}}


@pytest.fixture
def asked(monkeypatch):
    """Asks for a verdict in a new process; gives what came and how often the probe ran."""
    runs = []

    def probe():
        runs.append(1)
        return Verdict("refused", "rows and columns are swapped", {"prefix": 1})

    def ask(subject=SUBJECT, libraries=("torch",), code=("modalink.verdicts",), fresh=True):
        if fresh:
            monkeypatch.setattr(verdicts, "_known", {})
        return remembered(subject, probe, libraries=libraries, code=code), len(runs)

    return ask


def kept():
    return [*user_folder("XDG_CACHE_HOME", ".cache").glob("probes/*.json")]


def test_it_is_found_once_a_process_and_once_a_machine(asked):
    first, runs = asked()
    assert runs == 1 and first.facts == {"prefix": 1}
    assert asked(fresh=False) == (first, 1)
    assert asked() == (first, 1)


def test_another_configuration_library_or_code_is_asked_anew(asked, monkeypatch):
    asked()
    assert asked({**SUBJECT, "config": {"width": 8}})[1] == 2
    assert asked(code=("modalink.errors",))[1] == 3
    monkeypatch.setattr(verdicts, "version", lambda package: "99")
    assert asked()[1] == 4
    assert asked(libraries=("no-such-package",))[1] == 5


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000, b'{"verdict": 3, "reason": "", "facts": {}}', b" " * (2**20 + 1)],
)
def test_a_damaged_file_is_no_verdict(asked, content):
    first, _ = asked()
    (file,) = kept()
    file.write_bytes(content)
    assert asked() == (first, 2)
    assert json.loads(file.read_text())["reason"] == first.reason


def test_a_folder_that_takes_no_file_costs_the_memory_only(asked, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert asked()[1] == 1
    assert asked()[1] == 2
