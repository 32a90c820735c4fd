"""Records as the documentation of the big projects writes them, each read by the recipe lines that the docs name."""

import base64
import io
import json
import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

from modalink import kinds, modalities
from modalink.conversation import Medium
from modalink.data.sources.messages import MessagesConfig
from modalink.errors import DataError, SampleError

ROOT = Path(__file__).parents[3]


def png(red):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


URL = "data:image/png;base64," + base64.b64encode(png(3)).decode()
CALL = {"name": "weather", "arguments": {"city": "Rome"}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
ASKED = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}
SAID = {"role": "assistant", "content": [{"type": "text", "text": "A cube."}]}
DOG, CAT = {"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A cat."}

ROWS = {
    "OpenAI fine-tuning": (
        {"messages": [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}]},
            {"role": "assistant", "content": "No.", "weight": 0},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "Sunny."},
            {"role": "assistant", "content": "It is sunny.", "weight": 1},
        ], "tools": [TOOL], "parallel_tool_calls": False},
        f"system: Be kind.\n{json.dumps(TOOL)} | user: Look: (3) | assistant-: No. | user: Weather? | assistant: {json.dumps(CALL)} | tool: Sunny. | assistant: It is sunny.",
    ),
    "Hugging Face, TRL": (
        {"images": ["1.png", "2.png"], "messages": [ASKED, SAID, ASKED, SAID]},
        "user: (1)What is it? | assistant: A cube. | user: (2)What is it? | assistant: A cube.",
    ),
    "TRL, prompt and completion": (
        {"prompt": "The sky is", "completion": " blue."},
        "user-: The sky is | assistant:  blue.",
    ),
    "TRL, the same as messages": (
        {"images": ["1.png"], "prompt": [ASKED], "completion": [SAID]},
        "user-: (1)What is it? | assistant: A cube.",
    ),
    "TRL, texts and images": (
        {"images": ["1.png", "2.png"], "prompt": [{"role": "user", "content": "Compare."}], "completion": [{"role": "assistant", "content": "Alike."}]},
        "user-: (1)(2)Compare. | assistant: Alike.",
    ),
    "LLaMA-Factory, ShareGPT": (
        {"conversations": [
            DOG, {"from": "function_call", "value": json.dumps(CALL)}, {"from": "observation", "value": "Sunny."}, CAT,
        ], "system": "Be kind.", "tools": json.dumps([TOOL]), "images": ["1.png"]},
        f"system: Be kind.\n{json.dumps(TOOL)} | user: (1)\nWhat is it? | assistant: {json.dumps(CALL)} | tool: Sunny. | assistant: A cat.",
    ),
    "LLaMA-Factory, OpenAI's form": (
        {"messages": [{"role": "user", "content": "<image>What is it?"}, {"role": "assistant", "content": "A cat."}], "images": ["1.png"]},
        "user: (1)What is it? | assistant: A cat.",
    ),
    "LLaMA-Factory, Alpaca": (
        {"instruction": "Translate.", "input": "<image>", "output": "A cat.", "system": "Be kind.", "history": [["Hi.", "Ho."]], "images": ["1.png"]},
        "system: Be kind. | user: Hi. | assistant: Ho. | user: Translate.\n(1) | assistant: A cat.",
    ),
    "ms-swift, messages": (
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "<image><image>Alike?"}, {"role": "assistant", "content": "No."}], "images": ["1.png", "2.png"]},
        "system: Be kind. | user: (1)(2)Alike? | assistant: No.",
    ),
    "ms-swift, ShareGPT": (
        {"system": "Be kind.", "conversation": [{"human": "<image>Which?", "assistant": "A cat."}, {"human": "Sure?", "assistant": "Yes."}], "images": "1.png"},
        "system: Be kind. | user: (1)Which? | assistant: A cat. | user: Sure? | assistant: Yes.",
    ),
    "ms-swift, query and response": (
        {"system": "Be kind.", "query": "<image>Which?", "response": "A cat.", "history": [["Hi.", "Ho."]], "images": ["1.png"]},
        "system: Be kind. | user: Hi. | assistant: Ho. | user: (1)Which? | assistant: A cat.",
    ),
    "ms-swift, agents": (
        {"messages": [{"role": "user", "content": "Weather?"}, {"role": "tool_call", "content": json.dumps(CALL)}, {"role": "tool_response", "content": "Sunny."}, {"role": "assistant", "content": "It is sunny."}]},
        f"user: Weather? | assistant: {json.dumps(CALL)} | tool: Sunny. | assistant: It is sunny.",
    ),
    "ms-swift, boxes": (
        {"messages": [{"role": "user", "content": "<image>Find the <ref-object>."}, {"role": "assistant", "content": "<bbox><bbox>"}], "images": ["1.png"],
         "objects": {"ref": ["sheep"], "bbox": [[0.9, 1.6, 1, 2], [3, 0, 4.0, 3.5]]}},
        "user: (1)Find the sheep. | assistant: [225, 400, 250, 500][750, 0, 1000, 875]",
    ),
    "LLaVA": (
        {"id": "7", "image": "1.png", "conversations": [DOG, CAT]},
        "user: (1)\nWhat is it? | assistant: A cat.",
    ),
    "InternVL": (
        {"id": 0, "image": ["1.png", "2.png"], "width_list": [4, 4], "height_list": [4, 4], "conversations": [
            {"from": "human", "value": "Image-1: <image>\nImage-2: <image>\nAlike?"}, {"from": "gpt", "value": "<ref>No</ref><box>[[1, 2, 3, 4]]</box>"},
        ]},
        "user: Image-1: (1)\nImage-2: (2)\nAlike? | assistant: <ref>No</ref><box>[[1, 2, 3, 4]]</box>",
    ),
    "Qwen-VL": (
        {"id": "identity_0", "conversations": [
            {"from": "user", "value": "Picture 1: <img>1.png</img>\nWhich?"}, {"from": "assistant", "value": "A cat."},
        ]},
        "user: Picture 1: (1)\nWhich? | assistant: A cat.",
    ),
    "Qwen2.5-VL, Qwen3-VL": (
        {"image": ["1.png", "2.png"], "conversations": [{"from": "human", "value": "<image>\n<image>\nAlike?"}, {"from": "gpt", "value": "No."}]},
        "user: (1)\n(2)\nAlike? | assistant: No.",
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for red in (1, 2):
        (tmp_path / f"{red}.png").write_bytes(png(red))
    return tmp_path


def told(conversation):
    """Turns in a line: a picture by its red, a turn without loss by a dash."""
    texts = []
    for turn in conversation.turns:
        pieces = [f"({_red(p)})" if isinstance(p, Medium) else p.text for p in turn.content]
        texts.append(f"{turn.role}{'' if turn.loss else '-'}: {''.join(pieces)}")
    return " | ".join(texts)


def _red(medium):
    return modalities.get(medium.modality).read(medium.source).getpixel((0, 0))[0]


def documented():
    """The rows of the docs' table: project -> recipe line."""
    text = (ROOT / "docs" / "data.md").read_text("utf-8")
    table = text.partition("| project, format |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
    return {row[0].strip(): yaml.safe_load(row[-1].strip("` |")) for row in cells}


def test_every_format_of_the_docs_is_tried_here():
    assert list(documented()) == list(ROWS)


@pytest.mark.parametrize("project", ROWS)
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_records_of_the_projects(project, suffix, folder):
    record, expected = ROWS[project]
    path = folder / f"data{suffix}"
    path.write_text(json.dumps([record, record]) if suffix == ".json" else json.dumps(record) + "\n")
    line = documented()[project]
    assert line["path"] == "data.jsonl"
    source = kinds.parse("modalink.data.sources", {**line, "path": str(path)}, key="source").open()
    assert told(source[0]) == expected


@pytest.mark.parametrize("image", [
    "1.png", ["1.png"], {"path": "1.png"}, {"bytes": None, "path": "1.png"}, "file://FOLDER/1.png", "FOLDER/1.png",
    {"bytes": base64.b64encode(png(1)).decode(), "path": None}, base64.b64encode(png(1)).decode(), base64.encodebytes(png(1)).decode(),
    "data:image/png;base64," + base64.b64encode(png(1)).decode(), {"url": "data:image/png;base64," + base64.b64encode(png(1)).decode()},
    {"base64": base64.b64encode(png(1)).decode()},
])  # fmt: skip
def test_every_way_of_giving_a_picture(image, folder):
    given = json.loads(json.dumps(image).replace("FOLDER", str(folder)))
    in_block = {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image", "image": given if not isinstance(given, list) else given[0]}],
            }
        ]
    }
    in_column = {"messages": [{"role": "user", "content": "<image>"}], "image": given}
    path = folder / "a.jsonl"
    path.write_text(f"{json.dumps(in_block)}\n{json.dumps(in_column)}\n")
    source = MessagesConfig(path=str(path)).open()
    assert [told(source[i]) for i in range(2)] == ["user: (1)"] * 2


def test_base64_in_blocks_of_their_own_names(folder):
    text = base64.b64encode(png(9)).decode()
    blocks = [
        {"type": "image", "base64": text},
        {"type": "image", "bytes": text},
        {"type": "image", "image": {"bytes": text}},
    ]
    (folder / "a.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": blocks}]}))
    assert told(MessagesConfig(path=str(folder / "a.jsonl")).open()[0]) == "user: (9)(9)(9)"


def test_a_name_that_looks_like_base64_is_a_file_where_there_is_one(folder):
    name = "a/" * 32
    (folder / name).mkdir(parents=True)
    (folder / name / "photo").write_bytes(png(8))
    (folder / "a.jsonl").write_text(
        json.dumps({"messages": [{"role": "user", "content": "<image>"}], "image": name + "photo"})
    )
    assert told(MessagesConfig(path=str(folder / "a.jsonl")).open()[0]) == "user: (8)"


def opened(folder, record, **settings):
    path = folder / "a.jsonl"
    path.write_text(json.dumps(record))
    return MessagesConfig(path=str(path), **settings).open()[0]


def asked(text, **columns):
    return {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "So."}], **columns}


def test_a_marker_is_missing(folder):
    with pytest.raises(
        SampleError, match=r"found 0 <image> markers and 1 image paths, needed as many of each; write <image> where"
    ) as caught:
        opened(folder, asked("What?", image="1.png"))
    assert "place: first" in str(caught.value)
    assert told(opened(folder, asked("What?", image="1.png"), place="first")) == "user: (1)What? | assistant: So."
    both = asked("And <image>?", images=["1.png", "2.png"])
    assert told(opened(folder, both, place="first")) == "user: (1)And (2)? | assistant: So."
    with pytest.raises(SampleError, match=r"found 1 <image> markers and 3 image paths, needed as many of each$"):
        opened(folder, asked("And <image>?", images=["1.png"] * 3), place="first")
    with pytest.raises(SampleError, match=r"found 2 <image> markers and 1 image paths, needed as many of each$"):
        opened(folder, asked("<image><image>", images=["1.png"]), place="first")
    talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "What?"}]}]
    assert (
        told(opened(folder, {"messages": talk, "image": "1.png"}, place="first")) == "system: Be kind. | user: (1)What?"
    )


def test_a_marker_is_a_word_where_no_column_holds_media(folder):
    assert told(opened(folder, asked("What is <image> in HTML?"))) == "user: What is <image> in HTML? | assistant: So."
    with pytest.raises(SampleError, match="found 1 <image> markers and 0 image paths"):
        opened(folder, asked("<image>?", images=[]))
    with pytest.raises(
        SampleError, match=r"no column 'images' or 'image', and '1\.png' under 'photo': set `columns: \{image: photo\}`"
    ):
        opened(folder, asked("<image>?", photo="1.png"))
    assert (
        told(opened(folder, asked("<image>?", photo="1.png"), columns={"image": "photo"}))
        == "user: (1)? | assistant: So."
    )


def test_words_beside_blocks_are_words(folder):
    blocks = [{"type": "image"}, {"type": "text", "text": "not <image>, nor <img>1.png</img>"}]
    assert told(opened(folder, asked(blocks, image="1.png"))).startswith("user: (1)not <image>, nor <img>1.png</img> |")
    assert told(opened(folder, asked("<video>a.mp4</video> <audio>x</audio>"))).startswith(
        "user: <video>a.mp4</video> <audio>x"
    )


def test_media_of_a_modality_that_is_not_there_are_not_lost(folder):
    with pytest.raises(SampleError, match="found <smell> in the text and a column of it; the modalities are") as caught:
        opened(folder, asked("<smell>What?", smells=["a.nose"]))
    assert caught.value.reason == "unknown_modality"


def test_videos_stand_at_their_markers(folder):
    turns = opened(folder, asked("<video> or <image>?", videos=["a.mp4"], images=["1.png"])).turns
    assert [p for p in turns[0].content if isinstance(p, Medium)] == [
        Medium("video", str(folder / "a.mp4")), Medium("image", str(folder / "1.png")),
    ]  # fmt: skip
    inline = opened(folder, {"conversations": [{"from": "user", "value": "Video 1: <video>a.mp4</video>?"}]})
    assert next(iter(inline.media()))[1] == Medium("video", str(folder / "a.mp4"))


def test_markers_are_those_of_the_modalities(folder, depth):
    record = asked("<depth> and <image>", depths=["d.npy"], images=["1.png"])
    turns = opened(folder, record).turns
    assert [p for p in turns[0].content if isinstance(p, Medium)] == [
        Medium("depth", str(folder / "d.npy")), Medium("image", str(folder / "1.png")),
    ]  # fmt: skip
    inline = opened(folder, {"conversations": [{"from": "user", "value": "Depth 1: <depth>d.npy</depth>?"}]})
    assert next(iter(inline.media()))[1] == Medium("depth", str(folder / "d.npy"))


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        (
            {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "g"}}]},
            '{"name": "f", "arguments": {"a": 1}}\n{"name": "g", "arguments": {}}',
        ),
        ({"function_call": {"name": "f", "arguments": "no json"}}, '{"name": "f", "arguments": "no json"}'),
        ({"content": "Wait.", "tool_calls": [{"name": "f"}]}, 'Wait.\n{"name": "f", "arguments": {}}'),
    ],
)
def test_calls_of_tools_are_lines_of_json(folder, calls, text):
    talk = [{"role": "user", "content": "?"}, {"role": "assistant", "content": None, **calls}]
    assert opened(folder, {"messages": talk}).turns[1].text == text


def test_the_setting_tells_a_format_that_the_columns_do_not(folder):
    record = {"messages": "of another kind", "query": "Which?", "response": "A cat."}
    with pytest.raises(SampleError, match="found 'of another kind' under 'messages'"):
        opened(folder, record)
    assert told(opened(folder, record, format="query_response")) == "user: Which? | assistant: A cat."
    renamed = {"frage": "Which?", "antwort": "A cat."}
    columns = {"prompt": "frage", "completion": "antwort"}
    assert told(opened(folder, renamed, columns=columns)) == "user-: Which? | assistant: A cat."


def test_preferences_are_never_learned_as_answers(folder):
    for judged in ({"label": False}, {"kto_tag": True}, {"rejected_response": "x"}):
        with pytest.raises(DataError, match="looks like preferences, answers with a judgement"):
            opened(folder, asked("Which?", **judged))


CAPTION = {"file_name": "1.png", "text": "a cube"}
WRONG = {
    "docs.jsonl": ({"texts": ["a", None], "images": [None, "1.png"]}, "interleaved documents", "{source: interleaved, path: PATH}"),
    "mmc4.jsonl": ({"text_list": ["a"], "image_info": []}, "interleaved documents", "{source: interleaved, path: PATH}"),
    "captions.jsonl": ({"image": "1.png", "caption": "a"}, "images with captions", "{source: pairs, path: FOLDER, captions: captions.jsonl}"),
    "metadata.csv": ("file_name,text\n1.png,a cube\n", "images with captions", "{source: pairs, path: FOLDER, captions: metadata.csv, media_column: file_name, caption_column: text}"),
    "text.jsonl": ({"text": "a cube"}, "documents of text", "{source: text, path: PATH}"),
    "dpo.jsonl": ({"prompt": "a", "chosen": "b", "rejected": "c"}, "preferences", "{source: preferences, path: PATH}"),
    "coco.json": (json.dumps({"images": [], "annotations": []}, indent=1), "one mapping with the tables annotations and images", None),
    "dataset_info.json": (json.dumps({"mine": {"file_name": "mine.json"}}, indent=1), "LLaMA-Factory's list of data sets", "{source: messages, path: FOLDER/mine.json}"),
    "qa.jsonl": ({"question": "Which?", "answer": "A cat.", "photo": "1.png"}, "questions and answers in columns of their own", "{source: messages, path: PATH, columns: {prompt: question, completion: answer, image: photo}, place: first}"),
    "odd.jsonl": ({"words": 3}, "has the columns words, which no known format has", "{source: messages, path: PATH, columns: {prompt: ASKED, completion: SAID}}"),
    "shard.tar": (b"\0" * 1024, "tar shards", "{source: pairs, path: PATH}"),
    "lines.txt": (b"a cube\n", "lines of text", "{source: text, path: PATH}"),
    "photo.png": (png(1), "files of images", "{source: pairs, path: FOLDER}"),
    "data.zip": (b"PK", "an archive; unpack it first", None),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_the_first_error_tells_what_a_wrong_file_is_and_what_reads_it(name, tmp_path):
    content, what, line = WRONG[name]
    path = tmp_path / name
    content = json.dumps(content) if isinstance(content, dict) else content
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        MessagesConfig(path=str(path)).open()
    message = str(caught.value)
    assert message.startswith(str(path)) and what in message
    found = re.search(r"write\n    data:\n      - (\{.*\})$", message)
    assert (found is None) == (line is None)
    if line is not None:
        assert found[1] == line.replace("PATH", str(path)).replace("FOLDER", str(tmp_path))
        settings = yaml.safe_load(found[1])
        kinds.parse("modalink.data.sources", settings, key="source")


def test_the_named_recipe_reads_the_file(folder):
    for name in ("docs.jsonl", "captions.jsonl", "metadata.csv", "text.jsonl", "qa.jsonl"):
        content, _, line = WRONG[name]
        (folder / name).write_text(json.dumps(content) if isinstance(content, dict) else content)
        settings = yaml.safe_load(line.replace("PATH", str(folder / name)).replace("FOLDER", str(folder)))
        assert kinds.parse("modalink.data.sources", settings, key="source").open()[0].turns


def test_a_folder_of_photos_is_told_from_records(folder):
    with pytest.raises(DataError, match=r"the folder holds none; it looks like files of images: write"):
        MessagesConfig(path=str(folder)).open()


TALK = [{"role": "user", "content": "Who won?"}, {"role": "assistant", "content": "They did."}]


@pytest.fixture
def read(tmp_path):
    """Reads one record whose media lie beside it; the words and media of its turns."""

    def of(record, **settings):
        (tmp_path / "data.jsonl").write_text(json.dumps({"messages": TALK} | record) + "\n")
        (conversation,) = MessagesConfig(path=str(tmp_path / "data.jsonl"), **settings).open()
        return [piece for turn in conversation.turns for piece in turn.content]

    return of


VALUES = [3, -0.5, True, "12", "8.5", "7/10", "95 %", "good", "A+", [1, 2], [[0.1, 0.2, 0.3]], {"x": 1}, ["1", "2"]]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_column_of_the_data_sets_own_is_no_medium_whatever_its_name(read, depth, value):
    names = [name for row in modalities.records() for name in row.columns]
    assert {"points", "pointclouds", "audio", "videos", "chart", "depth", "depths"} <= {*names}
    pieces = read(dict.fromkeys(names, value))
    assert [piece.text for piece in pieces] == ["Who won?", "They did."]


@pytest.mark.parametrize("value", [value for value in VALUES if value not in ("good", "A+")], ids=repr)
def test_a_number_is_none_even_where_media_are_put_first(read, value):
    assert len(read({row.name: value for row in modalities.records()}, place="first")) == 2


@pytest.mark.parametrize("row", modalities.records(), ids=lambda row: row.name)
def test_what_can_be_a_medium_must_be_placed(read, tmp_path, row):
    (tmp_path / "scan 7").write_bytes(b"there is such a file")
    for value in (f"missing{row.suffixes[0].upper()}", "scan 7", "data:;base64,AAAA", "https://a.org/b", {"path": "x"}):
        for given in (value, [value]):
            with pytest.raises(SampleError, match=f"found 0 {row.placeholder} markers and 1 {row.name} paths"):
                read({row.name: given})
            (medium, *_) = read({row.name: given}, place="first")
            assert isinstance(medium, Medium) and medium.modality == row.name


def test_a_marker_makes_a_column_one_of_media_and_of_two_the_one_that_can_be(read, tmp_path):
    asked = [{"role": "user", "content": "<audio>Who won?"}, TALK[1]]
    (medium, _, _) = read({"messages": asked, "audio": "scan"})
    assert medium.source == str(tmp_path / "scan")
    (medium, _, _) = read({"messages": asked, "audio": "a.wav", "audios": 3})
    assert medium.source == str(tmp_path / "a.wav")
    with pytest.raises(SampleError, match="found 1 <audio> markers and 0 audio paths"):
        read({"messages": asked, "audio": None})
    (medium, _, _) = read({"messages": asked, "audio": 3})
    assert medium.source == 3  # which is refused in words when it is opened


def test_what_is_no_medium_is_not_suggested_as_one(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": "Q", "answer": "A", "points": 8}) + "\n")
    with pytest.raises(DataError, match="questions and answers") as caught:
        MessagesConfig(path=str(tmp_path / "a.jsonl")).open()
    assert "columns: {prompt: question, completion: answer}}" in str(caught.value)
    assert "place: first" not in str(caught.value)
