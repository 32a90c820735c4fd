"""Where a run comes from."""

from pathlib import Path

import pytest

from modalink.errors import CheckpointError
from modalink.runs.manifest import licence_verdict, write_manifest


def _part(name: str, licence: str | None) -> dict[str, str | None]:
    return {"part": name, "id": f"zoo:{name}", "licence": licence}


def test_permissive_licences_need_no_reading() -> None:
    parts = [_part("llm", "apache-2.0"), _part("encoder", "MIT"), {"part": "projector"}]
    assert licence_verdict(parts).startswith("permissive")


def test_every_other_licence_is_named_with_its_part() -> None:
    verdict = licence_verdict([_part("llm", "llama2"), _part("encoder", "mit"), _part("generator", "unknown")])
    assert verdict == "read before use or release: llm (zoo:llm): llama2; generator (zoo:generator): unknown"


def test_a_run_goes_on_only_with_the_weights_it_began_with(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    parts = [{"part": "llm", "sha256": "aa"}, {"part": "inputs.image.projector", "parameters": 3}]
    write_manifest(path, {"parts": parts})
    write_manifest(path, {"parts": parts, "licence": "another"})
    assert "another" in path.read_text()
    with pytest.raises(CheckpointError, match="the weights of llm are not those that the run began with"):
        write_manifest(path, {"parts": [{"part": "llm", "sha256": "bb"}, parts[1]]})
