"""The machine's settings: the nearest source wins, and every mistake is told with its place."""

from pathlib import Path

import pytest

from modalink.errors import OptionError, UnknownNameError
from modalink.settings import RunSettings, in_environment, run_settings, user_file, user_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of configurations, empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "modalink").mkdir()
    return tmp_path / "modalink"


def test_the_nearest_source_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_settings(device=None) == RunSettings(device=None, threads=None, workers=2)
    (folder / "settings.yaml").write_text("device: cuda\nthreads: 2\nworkers: 5\n")
    monkeypatch.setenv("MODALINK_THREADS", "3")
    monkeypatch.setenv("MODALINK_WORKERS", "6")
    assert run_settings(threads=None, workers=7) == RunSettings(device="cuda", threads=3, workers=7)


def test_an_empty_file_changes_nothing(folder: Path) -> None:
    (folder / "settings.yaml").write_text("# nothing yet\n")
    assert run_settings() == RunSettings()


def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_file() == tmp_path / "modalink" / "settings.yaml"
    for value in ("", None):
        monkeypatch.delenv("XDG_CONFIG_HOME") if value is None else monkeypatch.setenv("XDG_CONFIG_HOME", value)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert user_folder("XDG_CONFIG_HOME", ".config") == tmp_path / ".config" / "modalink"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("threads: none", r"settings\.yaml, threads: found 'none'; input should be a valid integer"),
        ("threads: 0", r"settings\.yaml, threads: found 0; input should be greater than or equal to 1"),
        ("[1, 2]", r"settings\.yaml: found a list, needed lines of `setting: value`"),
        ("a: b: c", r"settings\.yaml, line 1: this is no YAML"),
    ],
)
def test_a_wrong_file_is_told(folder: Path, content: str, says: str) -> None:
    (folder / "settings.yaml").write_text(content)
    with pytest.raises(OptionError, match=says):
        run_settings()


def test_unknown_names_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODALINK_THREAD", "2")
    with pytest.raises(UnknownNameError, match=r"MODALINK_THREAD: unknown setting 'thread'; did you mean 'threads'"):
        run_settings()
    monkeypatch.delenv("MODALINK_THREAD")
    (folder / "settings.yaml").write_text("worker: 2\n")
    with pytest.raises(UnknownNameError, match=r"settings\.yaml, worker: unknown setting 'worker'; did you mean"):
        run_settings()


def test_the_environment_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODALINK_WORKERS", "-1")
    with pytest.raises(OptionError, match=r"MODALINK_WORKERS: found '-1'; input should be greater than or equal to 0"):
        run_settings()


@pytest.mark.parametrize(
    ("written", "means"), [("off", None), ("~/features", Path.home() / "features"), ("/a", Path("/a"))]
)
def test_the_cache_is_a_folder_or_off(
    folder: Path, written: str, means: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_settings(cache=written).cache == means
    (folder / "settings.yaml").write_text(f"cache: {written}\ncache_bytes: 50GB\n")
    assert (run_settings().cache, run_settings().cache_bytes) == (means, 50 * 10**9)


def test_the_cache_is_in_the_users_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert run_settings().cache == tmp_path / "modalink" / "features"


@pytest.mark.parametrize("cache", ["off", "/a"])
def test_another_process_finds_the_same_settings_in_its_environment(
    cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = run_settings(cache=cache, processes=3, threads=2, cache_bytes="2GB")
    for name, value in in_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert run_settings() == settings
