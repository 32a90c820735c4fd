"""`modalink data convert` writes data in another format, and tells what it has no form for."""

import json

import pytest


@pytest.fixture
def chats(tmp_path):
    said = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}]
    path = tmp_path / "chats.jsonl"
    path.write_text(
        "".join(json.dumps({"id": n, "messages": said[: 2 - n], "license": "MIT"}) + "\n" for n in range(2))
    )
    return path


def test_what_is_written_and_what_is_left_out(modalink, chats, tmp_path):
    result = modalink("data", "convert", chats, "--to", "alpaca", "--out", tmp_path / "a.json", "--keep", "license")
    assert result.exit_code == 1
    assert f'a.json: 1 samples; a recipe reads them by {{"source": "messages", "path": "{tmp_path}' in result.stdout
    assert f"left out: 1 cannot_carry; see {tmp_path / 'a.ledger'}" in result.stdout
    (row,) = json.loads((tmp_path / "a.json").read_text())
    assert row == {"id": "0", "instruction": "a?", "input": "", "output": "b", "license": "MIT"}


def test_json(modalink, chats, tmp_path):
    result = modalink("data", "convert", chats, "--to", "messages", "--out", tmp_path / "a.jsonl", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["written"] == 2
    assert modalink("data", "check", tmp_path / "a.jsonl", "--check", "schema").exit_code == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--to", "lava", "--out", "x.jsonl"], "unknown kind of data.writers 'lava'; did you mean 'llava'?"),
        (["--to", "{kind: pairs, direction: up}", "--out", "x.jsonl"], "direction: found 'up'"),
        (["--to", "{kind: pairs, modality: smell}", "--out", "x.jsonl"], "smell"),
        (["--to", "text", "--out", "x.doc"], "found the suffix '.doc', needed one of .jsonl"),
    ],
)
def test_what_cannot_be_is_said(modalink, chats, options, says):
    result = modalink("data", "convert", chats, *options)
    assert result.exit_code in (1, 2) and says in result.stderr and "Traceback" not in result.stderr
