"""`modalink data preview` shows what becomes of data: turns, media, prompts with labels, token counts."""

import json
import re

import pytest
from PIL import Image
from typer.testing import CliRunner

from modalink.cli.data import data
from modalink.errors import DataError, OptionError, UnknownNameError


@pytest.fixture
def chats(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    records = [
        {"id": "one", "messages": [
            {"role": "user", "content": "<image>what is <b>it</b>?"}, {"role": "assistant", "content": "a red square."},
        ], "image": "a.png"},
        {"id": "two", "messages": [{"role": "user", "content": "<image>?"}], "image": "gone.png"},
        {"id": "three", "messages": 3},
    ]  # fmt: skip
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def run(*arguments):
    return CliRunner().invoke(data, ["preview", *map(str, arguments)], catch_exceptions=False, env={"COLUMNS": "200"})


def test_a_file_is_shown_as_the_model_will_see_it(chats):
    shown = run(chats).stdout
    assert f"user: (image 40 x 30 px, {chats.parent / 'a.png'})what is <b>it</b>?\nassistant: a red square." in shown
    tokens, learned = map(int, re.search(r"(\d+) tokens, (\d+) learned", shown).groups())
    assert 0 < learned < tokens
    assert re.search(
        r"<image>x\d+\n?what is <b>it</b>\?<\|im_end\|>\n<\|im_start\|>assistant\n\[\[a red square\.<\|im_end\|>\]\]",
        shown,
    )
    assert "left out: two: " in shown and "no such file" in shown
    assert "left out: three: found 3 under 'messages', needed a list of messages" in shown


def test_settings_of_the_source(chats):
    chats.write_text(json.dumps({"frage": "What?", "antwort": "a square.", "bild": "a.png"}))
    columns = "columns={prompt: frage, completion: antwort, image: bild}"
    shown = run(chats, "place=first", columns, "--count", 1).stdout
    assert "user: (image 40 x 30 px" in shown and "[[a square.<|im_end|>]]" in shown
    with pytest.raises(OptionError, match="found 'place', needed KEY=VALUE"):
        run(chats, "place")


def test_a_page(chats, tmp_path):
    page = tmp_path / "preview.html"
    assert run(chats, "--html", page).stdout == f"{page}: 3 samples of messages {chats}\n"
    text = page.read_text()
    assert "what is &lt;b&gt;it&lt;/b&gt;?" in text and "<b>" not in text
    assert '<img src="data:image/png;base64,' in text and "40 x 30 px" in text
    assert "<mark>a red square.&lt;|im_end|&gt;</mark>" in text
    assert "left out: three: found 3 under" in text


def test_a_recipe_shows_the_sources_of_a_stage(tmp_path):
    shown = run("demo", "--count", 1).stdout
    assert shown.startswith("tiny_world train\n") and "[[" in shown
    with pytest.raises(UnknownNameError, match="unknown stage 'gone'"):
        run("demo", "--stage", "gone")


def test_a_wrong_file_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a cube"}))
    with pytest.raises(DataError, match="looks like documents of text"):
        run(tmp_path / "a.jsonl")
