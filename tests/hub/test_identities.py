import shutil
from pathlib import Path

import pytest

from modalink import hub
from modalink.errors import PartError
from modalink.testing.checkpoints import tiny_llama


def test_the_hash_follows_the_weights_and_not_the_place(tmp_path: Path) -> None:
    first = hub.identity(str(tiny_llama(tmp_path / "a")))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = hub.identity(str(tmp_path / "b"))
    other = hub.identity(str(tiny_llama(tmp_path / "c", seed=1)))
    assert first.sha256 == copy.sha256 != other.sha256
    assert (first.id, first.revision, first.licence) == (str(tmp_path / "a"), None, "unknown")


def test_changed_weights_change_the_hash_at_once(tmp_path: Path) -> None:
    before = hub.identity(str(tiny_llama(tmp_path)))
    assert hub.identity(str(tiny_llama(tmp_path, seed=1))).sha256 != before.sha256


@pytest.mark.parametrize(
    ("file", "text", "licence"),
    [
        ("README.md", "---\nlicense: apache-2.0\ntags: [a]\n---\n# Model", "apache-2.0"),
        ("README.md", "---\nlicense: other\nlicense_name: llama2\n---\n", "llama2"),
        ("README.md", "# Model without front matter", "unknown"),
        ("README.md", "---\nlicense: [broken\n---\n", "unknown"),
        ("LICENSE.txt", "\n  MIT License\n\nCopyright", "MIT License"),
        ("LICENSES/MIT.txt", "MIT License", "unknown"),
        ("README.md/notes.txt", "Model", "unknown"),
        ("LICENSE.empty", "\n", "unknown"),
    ],
)
def test_the_licence_is_what_the_checkpoint_declares(tmp_path: Path, file: str, text: str, licence: str) -> None:
    (tiny_llama(tmp_path) / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert hub.identity(str(tmp_path)).licence == licence


def test_no_weights_no_identity(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="found no weight files"):
        hub.identity(str(tmp_path))
