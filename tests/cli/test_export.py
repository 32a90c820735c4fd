"""The command writes a folder, or says in words why not."""

import json

from transformers import AutoConfig


def test_export_writes_llava(run, modalink, tmp_path):
    done = modalink("export", run, "--to", "llava", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "its README.md says how it is loaded" in done.output
    assert AutoConfig.from_pretrained(tmp_path / "out").model_type == "llava"


def test_export_as_json(run, modalink, tmp_path):
    done = modalink("export", run, "--to", "hf", "--self-contained", "--out", tmp_path / "out", "--json")
    told = json.loads(done.stdout)
    assert told["to"] == "hf" and {"config.json", "README.md", "parts/llm/config.json"} <= {*told["files"]}


def test_wrong_use_and_failures_are_told(run, modalink, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for arguments, code, text in (
        ((run, "--to", "llava", "--out", tmp_path / "full"), 2, "found files there"),
        ((run, "--to", "gguf", "--out", tmp_path / "out"), 2, "not one of"),
        ((run, "--to", "llava", "--out", ""), 2, "needed a path"),
        ((tmp_path / "nothing", "--to", "llava", "--out", tmp_path / "out"), 1, "found no run"),
    ):
        done = modalink("export", *arguments)
        assert (done.exit_code, text in done.output) == (code, True), done.output
