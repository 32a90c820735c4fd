"""`modalink index` builds what a retriever finds in, and searches it."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from modalink.cli.index import index
from modalink.errors import DataError, OptionError, PartError


@pytest.fixture
def flags(tmp_path):
    """Three pictures with captions, one of which is missing."""
    folder = tmp_path / "flags"
    folder.mkdir()
    for name in ("red", "blue"):
        Image.new("RGB", (64, 64), name).save(folder / f"{name}.png")
    rows = [{"image": f"{name}.png", "caption": f"a {name} flag"} for name in ("red", "blue", "gone")]
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run(*arguments):
    return CliRunner().invoke(index, [*map(str, arguments)], catch_exceptions=False, env={"COLUMNS": "200"}).stdout


def test_an_index_of_pictures_is_built_and_searched(flags, tmp_path):
    out = tmp_path / "index"
    told = run("build", flags, "source=pairs", "captions=captions.jsonl", "--out", out)
    assert "gone.png" in told and f"{out}: 2 entries, 1 samples left out" in told
    assert f"retrieval: {{retriever: {{kind: encoder, index: {out}}}}}" in told
    rows = run("search", out, "--image", flags / "blue.png", "--json").splitlines()
    first, second = map(json.loads, rows)
    assert first["text"] == "a blue flag" and first["score"] == pytest.approx(1, abs=1e-3)
    assert first["score"] > second["score"]
    assert Image.open(first["media"][0]["path"]).getpixel((0, 0)) == (0, 0, 255)
    assert run("search", out, "Where is a blue flag?", "--by", "words", "--count", 1).startswith("1.000 ")


def test_what_cannot_be_done_says_why(flags, tmp_path):
    out = tmp_path / "words"
    run("build", flags, "source=pairs", "captions=captions.jsonl", "--by", "words", "--out", out)
    with pytest.raises(DataError, match="there is something already"):
        run("build", flags, "source=pairs", "captions=captions.jsonl", "--by", "words", "--out", out)
    with pytest.raises(OptionError, match="found nothing to look at, needed --image FILE"):
        run("search", out, "words")
    with pytest.raises(OptionError, match="found no words to look for"):
        run("search", out, "--by", "words")
    with pytest.raises(PartError, match="found an index with kind words, needed encoder"):
        run("search", out, "--image", flags / "red.png")
    with pytest.raises(PartError, match="found no encoder of 'audio' to find by; the system reads image"):
        run("build", flags, "source=pairs", "captions=captions.jsonl", "--modality", "audio", "--out", tmp_path / "a")
    with pytest.raises(OptionError, match="demo: found 2 sources of a recipe, needed one"):
        run("build", "demo", "stages.0.data=[{source: tiny_world}, {source: tiny_world}]", "--out", tmp_path / "b")
