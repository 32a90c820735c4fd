"""Each format is read, written and read again to the same conversations; what it has no form for is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modalink.conversation import Conversation, Medium, Region, Text, Turn
from modalink.data.converting import convert
from modalink.data.reading import in_order
from modalink.data.source import SourceConfig
from modalink.data.sources.interleaved import InterleavedConfig
from modalink.data.sources.messages import MessagesConfig
from modalink.data.sources.pairs import PairsConfig
from modalink.data.sources.preferences import PreferencesConfig
from modalink.data.sources.text import TextConfig
from modalink.data.sources.tiny_world import TinyWorldConfig
from modalink.data.writer import WriterConfig, plain
from modalink.errors import OptionError, RecipeError, SampleError
from modalink.kinds import kinds, parse

ASKED = {"role": "user", "content": "<image>a\n<image> b?"}
ROWS = {
    "messages": [
        {"id": "m1", "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "image", "path": "a.png", "caption": "it", "use": "read"}, "what?"]},
            {"role": "assistant", "content": "no", "loss": False},
            {"role": "tool", "content": "3"},
            {"role": "assistant", "content": [{"type": "text", "text": "a", "loss": False}, {"type": "text", "text": "b"}]},
        ]},
        {"id": "m2", "messages": [{"role": "user", "content": "say <video> and </s>"}, {"role": "assistant", "content": "é"}]},
        {"messages": [
            {"role": "user", "content": [{"type": "image", "image": "a.png"}, {"type": "text", "text": "where?"}]},
            {"role": "assistant", "content": [{"type": "region", "areas": [[1, 2, 3, 4], [5, 6]], "phrase": "it", "image": 0}]},
        ]},
    ],
    "sharegpt": [
        {"id": "s", "system": "Be kind.", "images": ["a.png", "b.png"], "conversations": [
            {"from": "human", "value": "see <image> and <image>?"}, {"from": "gpt", "value": "x", "loss": False},
            {"from": "human", "value": " so?"}, {"from": "gpt", "value": "y\n"},
        ]},
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "function_call", "value": "{}"}, {"from": "observation", "value": "4"}, {"from": "gpt", "value": "ok"}]},
        {"images": ["a.png"], "conversations": [{"from": "human", "value": "<image> find <bbox>"}, {"from": "gpt", "value": "at <bbox>."}],
         "objects": {"bbox": [[1, 2, 3, 4], [5, 6]]}},
    ],
    "llava": [{"id": "0001", "image": "a.png", "conversations": [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "x"}]}],
    "alpaca": [
        {"id": "a", "instruction": "say", "input": "it", "output": "x"},
        {"instruction": "<image>?", "input": "", "output": "<image>", "images": ["a.png", "b.png"], "system": "Be.", "history": [["q", "r"]]},
    ],
    "query_response": [{"query": "<audio>?", "response": "x", "audios": ["a.wav"], "history": [["q", "r"], ["s", ""]], "system": "Be."}],
    "prompt_completion": [
        {"id": "t", "prompt": "a", "completion": "b"},
        {"prompt": [{"role": "system", "content": "Be."}, ASKED], "completion": [{"role": "assistant", "content": "b"}], "images": ["a.png", "b.png"]},
    ],
}  # fmt: skip


def write(path: Path, rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(config: SourceConfig, folder: Path) -> list[Conversation]:
    rows = [*in_order(config)]
    assert all(isinstance(row, Conversation) for row in rows), rows
    return [plain(row, folder) for row in rows]


def writer(kind: str, **settings) -> WriterConfig:
    return parse(WriterConfig.room, {"kind": kind, **settings})


@pytest.mark.parametrize("kind", ROWS)
def test_chat_formats_come_back(kind, tmp_path):
    source = MessagesConfig(path=write(tmp_path / "old.jsonl", ROWS[kind]), boxes="codec")
    done = convert(source, writer(kind), tmp_path / "new.jsonl")
    assert done.written == len(ROWS[kind]) and not done.left_out
    again = MessagesConfig(path=str(tmp_path / "new.jsonl"), boxes="codec")
    assert read(again, tmp_path) == read(source, tmp_path)
    # written once more, it is the same file
    assert convert(again, writer(kind), tmp_path / "third.jsonl").written == done.written
    assert (tmp_path / "third.jsonl").read_text() == (tmp_path / "new.jsonl").read_text()


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_chat_formats_become_messages_and_come_back(kind, suffix, tmp_path):
    source = MessagesConfig(path=write(tmp_path / "old.jsonl", ROWS[kind]), boxes="codec")
    assert convert(source, writer("messages"), tmp_path / "m.jsonl").written == len(ROWS[kind])
    middle = MessagesConfig(path=str(tmp_path / "m.jsonl"))
    assert read(middle, tmp_path) == read(source, tmp_path)
    done = convert(middle, writer(kind), tmp_path / f"new{suffix}")
    assert done.written == len(ROWS[kind])
    assert read(MessagesConfig(path=str(tmp_path / f"new{suffix}"), boxes="codec"), tmp_path) == read(source, tmp_path)


def test_documents_come_back(tmp_path):
    rows = [
        {"id": "d", "texts": ["a", None, "b", "c"], "images": [None, "x.png", None, None]},
        {"texts": ["a", None, None], "images": [None, None, "x.png"], "videos": [None, "v.mp4", None]},
    ]
    source = InterleavedConfig(path=write(tmp_path / "old.jsonl", rows), use="both")
    assert convert(source, writer("interleaved", use="both"), tmp_path / "new.jsonl").written == 2
    again = InterleavedConfig(path=str(tmp_path / "new.jsonl"), use="both")
    assert [*in_order(again)] == [*in_order(source)]
    assert convert(source, writer("interleaved"), tmp_path / "other.jsonl").left_out == {"cannot_carry": 2}


def test_texts_come_back(tmp_path):
    (tmp_path / "old.txt").write_text("one\ntwo, with <image>\n")
    source = TextConfig(path=str(tmp_path / "old.txt"))
    assert convert(source, writer("text"), tmp_path / "new.csv").written == 2
    assert [*in_order(TextConfig(path=str(tmp_path / "new.csv")))] == [*in_order(source)]


@pytest.mark.parametrize("direction", ["caption", "draw"])
def test_pairs_come_back(direction, tmp_path):
    (tmp_path / "t.csv").write_text("id,image,caption\n" + "".join(f'{n},{n}.png,"a, {n}"\n' for n in range(8)))
    source = PairsConfig(path=str(tmp_path), captions="t.csv", direction=direction)
    to = writer("pairs", direction=direction)
    assert convert(source, to, tmp_path / "new.tsv").written == 8
    lines = to.source(tmp_path / "new.tsv")
    lines["kind"] = lines.pop("source")
    assert [*in_order(PairsConfig.model_validate(lines))] == [*in_order(source)]


def test_other_requests_are_no_pairs_unless_that_is_said(tmp_path):
    rows = [
        {
            "image": "a.png",
            "conversations": [{"from": "human", "value": "Tell.\n<image>"}, {"from": "gpt", "value": "a cat"}],
        }
    ]
    source = MessagesConfig(path=write(tmp_path / "old.jsonl", rows))
    assert convert(source, writer("pairs"), tmp_path / "a.csv").left_out == {"cannot_carry": 1}
    assert convert(source, writer("pairs", any_request=True), tmp_path / "b.csv").written == 1
    assert (tmp_path / "b.csv").read_text().endswith(",a.png,a cat\n")


def said(*turns, id="one"):
    return Conversation(tuple(Turn(role, content, loss) for role, content, loss in turns), id)


PICTURE = Medium("image", "a.png")
U, A = ("user", (Text("q"),), True), ("assistant", (Text("a"),), True)
LOST = [
    ("alpaca", said(U, ("assistant", (Text("a"),), False)), "turn 1 is not learned, which would be lost"),
    ("alpaca", said(U, U, A), "needed questions and answers in turn, found turns of user, user, assistant"),
    ("sharegpt", said(("user", (Medium("image", "a.png", "it"),), True), A), "the caption of its image, 'it', would be lost"),
    ("sharegpt", said(("user", (PICTURE, Text("<image>")), True), A), "its reader says: "),
    ("llava", said(("user", (Medium("image", "a.png", use="made"),), True), A), "the use of its image, 'made', would be lost"),
    ("sharegpt", said(U, ("assistant", (Text("a", False), Text("b")), True)), "turn 1: Text("),
    ("sharegpt", said(("user", (PICTURE,), True), ("assistant", (Region(((1, 2), (3, 4))),), True)), "several areas"),
    ("prompt_completion", said(U, A, U, A), "turn 1 is learned, which would be lost"),
    ("prompt_completion", said(U), "needed an answer at its end"),
    ("interleaved", said(U, A), "needed a document, one turn of the assistant"),
    ("text", said(A, A), "needed one turn of the assistant, of words alone"),
    ("pairs", said(U, A), "needed a request and its answer about one image"),
    ("pairs", said(("user", (PICTURE, Text("\nWhat?")), True), A), "turn 0: Text("),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "conversation", "says"), LOST)
def test_what_would_be_lost_is_refused(kind, conversation, says, tmp_path):
    with pytest.raises(SampleError, match=f"one: the format {kind} cannot hold it: ") as error:
        writer(kind).carried(conversation, tmp_path)
    assert says in str(error.value) and error.value.reason == "cannot_carry"
    messages = writer("messages").carried(conversation, tmp_path)
    assert plain(writer("messages").read(messages, "one", tmp_path), tmp_path) == plain(conversation, tmp_path)


def test_every_writer_is_tested():
    assert {*ROWS, "interleaved", "text", "pairs"} == {*kinds(WriterConfig.room)}


def test_media_without_a_file_become_files(tmp_path):
    source = TinyWorldConfig(count=6, tasks={"caption": 1.0}, shows=["image", "audio", "points"])
    done = convert(source, writer("messages"), tmp_path / "new" / "w.jsonl")
    assert done.written == 6
    old = [medium.source for row in in_order(source) for _, medium in row.media()]
    again = MessagesConfig(path=str(tmp_path / "new" / "w.jsonl"))
    new = [medium for row in in_order(again) for _, medium in row.media()]
    assert all(Path(medium.source).parent == tmp_path / "new" / "w-media" for medium in new)
    for one, other in zip(old, new, strict=True):
        if other.modality == "image":
            assert np.array_equal(np.asarray(one), np.asarray(Image.open(other.source)))
    assert convert(source, writer("messages"), tmp_path / "new" / "v.jsonl").written == 6


def test_bytes_keep_their_content(tmp_path):
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    rows = [said(("user", (Medium("image", content), Medium("image", {"bytes": content}), Text("q")), True), A)]
    from modalink.data.media_store import MediaStore

    stored = MediaStore(tmp_path, "m").stored(rows[0])
    sources = [medium.source for _, medium in stored.media()]
    assert len({*sources}) == 1 and sources[0].endswith(".jpg") and (tmp_path / sources[0]).read_bytes() == content


def test_bad_samples_stand_in_the_ledger_and_columns_are_kept(tmp_path):
    rows = [{"id": 7, **ROWS["prompt_completion"][0], "license": "MIT"}, {"messages": 3}, ROWS["messages"][0]]
    source = MessagesConfig(path=write(tmp_path / "old.jsonl", rows))
    done = convert(source, writer("alpaca"), tmp_path / "new.jsonl", keep=["license", "gone"])
    assert done.written == 1 and done.left_out == {"bad_messages": 1, "cannot_carry": 1}
    lines = [json.loads(line) for line in done.ledger.read_text().splitlines()]
    assert done.ledger == tmp_path / "new.ledger" and [line["step"] for line in lines] == [1, 2]
    assert lines[1]["sample"] == "m1" and "the format alpaca cannot hold it" in lines[1]["detail"]
    assert json.loads((tmp_path / "new.jsonl").read_text()) == {
        "id": "t", "instruction": "a", "input": "", "output": "b", "license": "MIT",
    }  # fmt: skip


def test_nothing_is_overwritten(tmp_path):
    source = TextConfig(path=write(tmp_path / "old.jsonl", [{"text": "a"}]))
    with pytest.raises(OptionError, match="is there already"):
        convert(source, writer("text"), tmp_path / "old.jsonl")
    with pytest.raises(OptionError, match=r"found the suffix '.parquet', needed one of .jsonl"):
        convert(source, writer("text"), tmp_path / "new.parquet")
    with pytest.raises(RecipeError):
        writer("nothing")
    assert [*tmp_path.iterdir()] == [tmp_path / "old.jsonl"]


def test_a_table_has_one_form(tmp_path):
    rows = [{"text": "a", "x": "1"}, {"text": "b"}]
    source = TextConfig(path=write(tmp_path / "old.jsonl", rows))
    done = convert(source, writer("text"), tmp_path / "new.csv", keep=["x"])
    assert done.written == 1 and done.left_out == {"cannot_carry": 1}
    done = convert(
        MessagesConfig(path=write(tmp_path / "m.jsonl", ROWS["messages"])), writer("messages"), tmp_path / "m.csv"
    )
    assert done.written == 0 and "a table has no form for" in done.ledger.read_text()


def test_facts_are_carried_or_refused(tmp_path):
    rows = [{"id": "f", **ROWS["llava"][0], "solution": 3}]
    source = MessagesConfig(path=write(tmp_path / "old.jsonl", rows), facts={"answer": "solution"})
    assert convert(source, writer("alpaca"), tmp_path / "new.jsonl").written == 1
    (found,) = in_order(MessagesConfig(path=str(tmp_path / "new.jsonl")))
    assert found.facts == {"answer": 3}
    done = convert(source, writer("pairs", any_request=True), tmp_path / "p.csv")
    assert done.written == 0 and "its facts, {'answer': 3}, would be lost" in done.ledger.read_text()


def test_judged_replies_are_not_lost_in_silence(tmp_path):
    source = PreferencesConfig(path=write(tmp_path / "old.jsonl", [{"prompt": "a?", "chosen": "b", "rejected": "c"}]))
    done = convert(source, writer("messages"), tmp_path / "new.jsonl")
    assert done.left_out == {"cannot_carry": 1}
    assert "it is a preference, of which the turns alone would stay" in done.ledger.read_text()
