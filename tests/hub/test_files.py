from pathlib import Path

import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from modalink import zoo
from modalink.errors import PartError
from modalink.hub import files


def test_a_folder_is_where_it_says(tmp_path: Path) -> None:
    assert files.locate(str(tmp_path)) == tmp_path


def test_a_zoo_name_is_in_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(zoo, "path", lambda name: tmp_path / name, raising=False)
    assert files.locate("zoo:vision") == tmp_path / "vision"


@pytest.mark.parametrize("reference", ["./absent", "/absent/folder", "~/absent-folder", "too/many/parts"])
def test_an_absent_folder_is_no_hub_id(reference: str) -> None:
    with pytest.raises(PartError, match="no such folder"):
        files.locate(reference)


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="only hub checkpoints have a revision, found 'main'"):
        files.locate(str(tmp_path), "main")


def test_an_unreachable_hub_is_one_clear_line() -> None:
    with pytest.raises(PartError) as caught:
        files.locate("nobody/offline-model", "abc")
    message = str(caught.value)
    assert message.startswith("nobody/offline-model at revision 'abc': it is not in the local cache")
    assert "zoo:NAME" in message and "\n" not in message


@pytest.mark.parametrize(
    ("error", "says"),
    [(GatedRepoError, "licence"), (RepositoryNotFoundError, "no such repository"), (RevisionNotFoundError, "revision")],
)
def test_each_refusal_of_the_hub_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], says: str
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise error.__new__(error)

    monkeypatch.setattr(files, "snapshot_download", refuse)
    with pytest.raises(PartError, match=says):
        files.locate(f"nobody/{error.__name__}")


def test_a_broken_connection_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop(*_: object, **__: object) -> str:
        raise TimeoutError("read timed out\nlong story")

    monkeypatch.setattr(files, "snapshot_download", drop)
    with pytest.raises(PartError, match=r"could not be read \(read timed out\); try again") as caught:
        files.locate("nobody/slow-model")
    assert "\n" not in str(caught.value)


def test_only_files_that_are_read_are_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pipeline's single-file copies stay on the hub, and `.bin` files too where there are safetensors."""
    asked: list[tuple[str, ...]] = []

    def serve(repo: str, *, allow_patterns: tuple[str, ...], **_: object) -> str:
        asked.append(allow_patterns)
        (tmp_path / "model_index.json").write_text("{}")
        (tmp_path / "unet").mkdir(exist_ok=True)
        if "*/*.safetensors" in allow_patterns:
            (tmp_path / "unet" / "weights.safetensors").touch()
        return str(tmp_path)

    monkeypatch.setattr(files, "snapshot_download", serve)
    assert files.locate("somebody/pipeline") == tmp_path
    assert len(asked) == 2
    assert not any("safetensors" in pattern for pattern in asked[0])
    assert "*/*.safetensors" in asked[1] and "*.safetensors" not in asked[1]


def test_a_repository_without_weights_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "snapshot_download", lambda *_, **__: str(tmp_path))
    assert files.locate("somebody/papers", weights=False) == tmp_path
    with pytest.raises(PartError, match="found no weights"):
        files.locate("somebody/papers")
