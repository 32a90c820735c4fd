"""`modalink data preview` shows what becomes of data: turns, media, prompts with labels, token counts."""

import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image
from typer.testing import CliRunner

from modalink.cli.data import data
from modalink.errors import DataError, ModalinkError, OptionError, UnknownNameError
from modalink.planning.preview import ShownSample, ShownTurn, page


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


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("plaice=first", "unknown key 'plaice'; did you mean 'place'?"),
        ("place=middle", "place: found 'middle', needed"),
        ("columns={prompt:\n[1]}", "columns.prompt: found"),
        ("source=pears", "unknown kind of data.sources 'pears'"),
        ("source=pairs direction=up", "direction: found 'up', needed"),
        ("source=tiny_world", "unknown key 'path'"),
    ],
)
def test_a_wrong_setting_is_named(chats, setting, says):
    with pytest.raises(ModalinkError, match=re.escape(says)):
        run(chats, *setting.split(" "))


def test_a_page(chats, tmp_path):
    page = tmp_path / "preview.html"
    assert run(chats, "--html", page).stdout == f"{page}: 3 samples of messages {chats}\n"
    text = page.read_text()
    assert "what is &lt;b&gt;it&lt;/b&gt;?" in text and "<b>" not in text
    assert '<img src="data:image/png;base64,' in text and "40 x 30 px" in text
    assert "<mark>a red square.&lt;|im_end|&gt;</mark>" in text
    assert "left out: three: found 3 under" in text


def test_every_judged_reply_is_shown(tmp_path):
    ranked = {"id": "ranked", "prompt": "What is it?", "chosen": "A <b>cat</b>.", "rejected": "A dog."}
    marked = {"id": "marked", "prompt": "What is it?", "completion": "A cow.", "label": False}
    for name, record in (("ranked", ranked), ("marked", marked)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(record) + "\n")
    shown = run(tmp_path / "ranked.jsonl", "source=preferences").stdout
    assert "assistant: A <b>cat</b>.\n" in shown
    assert shown.endswith("reply 1 of 2, which stands above\nreply 2 of 2\nassistant: A dog.\n")
    assert "reply 1 of 1, which stands above: bad\n" in run(tmp_path / "marked.jsonl", "source=preferences").stdout
    page = tmp_path / "preview.html"
    run(tmp_path / "ranked.jsonl", "source=preferences", "--html", page)
    text = page.read_text()
    assert text.startswith("<!doctype html>") and "A &lt;b&gt;cat&lt;/b&gt;." in text
    assert text.index("reply 1 of 2, which stands above") < text.index("reply 2 of 2") < text.index("A dog.")


def test_a_page_is_one_file_that_runs_and_loads_nothing(chats, tmp_path):
    hostile = "</mark><script>alert(1)</script><img src=http://a.b/c.png onerror=x>\u202e"
    record = {
        "id": hostile,
        "messages": [{"role": "user", "content": hostile}, {"role": "assistant", "content": hostile}],
    }
    name = 'a"onload="x.png'
    Image.new("RGB", (3000, 2)).resize((1000, 10)).save(chats.parent / name)
    wide = {"messages": [{"role": "user", "content": "<image>"}], "images": [name]}
    chats.write_text(f"{json.dumps(record)}\n{json.dumps(wide)}\n")
    page = tmp_path / "page.html"
    run(chats, "--html", page)
    seen = _Tags(page.read_text(encoding="utf-8"))
    assert not seen.tags.keys() & {"script", "link", "iframe", "object", "form", "a"}
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in seen.tags["img"])
    assert not [name for tags in seen.tags.values() for tag in tags for name in tag if name.startswith("on")]
    assert seen.text.count(hostile) >= 4  # its name, two turns, and the prompt
    (rule,) = (tag["content"] for tag in seen.tags["meta"] if tag.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in rule


def test_a_page_says_whose_words_are_learned_where_there_is_no_prompt():
    turns = [ShownTurn("user", False, ["a"]), ShownTurn("assistant", True, ["b"])]
    seen = _Tags(page("data", [ShownSample("one", turns, []), ShownSample("half \udcff", [], [], error="bad")]))
    assert "assistantlearned" in seen.text and "userlearned" not in seen.text
    assert "marked" not in seen.text and "half \\udcff" in seen.text


class _Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.text = {}, ""
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.setdefault(tag, []).append(dict(attrs))

    def handle_data(self, data):
        self.text += data


def test_a_recipe_shows_the_sources_of_a_stage(tmp_path):
    shown = run("demo", "--count", 1).stdout
    assert shown.startswith("tiny_world train\n") and "[[" in shown
    with pytest.raises(UnknownNameError, match="unknown stage 'gone'"):
        run("demo", "--stage", "gone")


def test_a_wrong_file_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "a cube"}))
    with pytest.raises(DataError, match="looks like documents of text"):
        run(tmp_path / "a.jsonl")
