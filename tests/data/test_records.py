"""Records by number: every format reads the same, and one broken record harms only itself."""

import csv
import json
import threading

import datasets
import pytest

from modalink.conversation import Conversation, Text, Turn
from modalink.data.arrow import RecordStream, load_dataset
from modalink.data.records import open_records
from modalink.errors import DataError, MissingExtraError, SampleError

ROWS = [{"id": str(i), "text": text} for i, text in enumerate(["plain", "ünï 猫 🦊", 'q"uo,te', "two\nlines", "]}[{,"])]


def write(path, rows):
    if path.suffix == ".json":
        path.write_text("\n " + json.dumps(rows, ensure_ascii=False, indent=2) + "\n", "utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n\n" for row in rows), "utf-8")
    elif path.suffix == ".parquet":
        datasets.Dataset.from_list(rows).to_parquet(path)
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, ["id", "text"], delimiter="\t" if path.suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".tsv", ".parquet"])
def test_every_format_gives_the_same_records(tmp_path, suffix):
    records = open_records(str(write(tmp_path / f"a{suffix}", ROWS)))
    assert [records[i] for i in range(len(records))] == ROWS
    places = {".json": "[3]", ".jsonl": ", line 7", ".csv": ", row 4", ".tsv": ", row 4", ".parquet": "[3]"}
    assert records.where(3) == f"{tmp_path / f'a{suffix}'}{places[suffix]}"


def test_json_lines_named_json_and_byte_order_marks(tmp_path):
    lines = tmp_path / "lines.json"
    lines.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert open_records(str(lines))[4] == ROWS[4]
    for name, text in {"a.json": json.dumps(ROWS), "b.jsonl": json.dumps(ROWS[0]), "c.csv": "id,text\n0,plain"}.items():
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert open_records(str(tmp_path / name))[0] == ROWS[0]


def test_files_of_a_folder_or_pattern_are_joined_by_name(tmp_path):
    for name in ("b.jsonl", "a.json", "c.csv"):
        write(tmp_path / name, [{"id": f"{name}{i}", "text": ""} for i in range(3)])
    (tmp_path / "notes.md").write_text("not data")
    records = open_records(str(tmp_path))
    ids = [records[i]["id"] for i in range(len(records))]
    assert ids == [f"{name}{i}" for name in ("a.json", "b.jsonl", "c.csv") for i in range(3)]
    assert records.where(5) == f"{tmp_path / 'b.jsonl'}, line 5"
    assert len(open_records(str(tmp_path / "*.csv"))) == 3


@pytest.mark.parametrize("line", ['{"id": 1,', "[1, 2]", "3", "nonsense", '"text"'])
def test_a_broken_line_harms_only_itself(tmp_path, line):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 0}\n' + line + '\n{"id": 2}\n')
    records = open_records(str(path))
    assert (records[0]["id"], records[2]["id"]) == (0, 2)
    with pytest.raises(SampleError) as caught:
        records[1]
    assert (caught.value.name, caught.value.reason) == (f"{path}, line 2", "bad_record")


def test_bytes_that_are_no_text_harm_only_their_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 0}\n{"id": "\xff\xfe"}\n')
    records = open_records(str(path))
    assert records[0] == {"id": 0}
    with pytest.raises(SampleError, match="is no JSON"):
        records[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"id": 0}, {"id": 1', "breaks after 1 elements, at byte 12"),
        ('[{"id": 0} {"id": 1}]', "breaks after 1 elements, at byte 11: needed ',' or ']'"),
        ('[{"id": 0}', "breaks after 1 elements"),
    ],
)
def test_a_broken_array_says_where(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        open_records(str(path))


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", "[]"), ("a.jsonl", "\n\n"), ("a.csv", "id,text\n"), ("a.tsv", "")]
)
def test_a_file_without_records_says_what_was_looked_for(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        open_records(str(path))
    assert str(caught.value) == f"{path}: looked for records in {path}; found none"


def test_nothing_there_says_what_was_looked_for_and_where(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json: looked for files ending with \.jsonl, .*no such file or folder"):
        open_records(str(tmp_path / "gone.json"))
    with pytest.raises(DataError, match="the folder holds none"):
        open_records(str(tmp_path))
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(DataError, match=r"found the suffix '\.docx', needed one of \.jsonl"):
        open_records(str(tmp_path / "a.docx"))
    (tmp_path / "a.parquet").write_text("no parquet")
    with pytest.raises(DataError, match=r"a\.parquet: cannot be loaded as a data set"):
        open_records(str(tmp_path / "a.parquet"))


def test_a_row_with_too_many_cells(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("image,caption\na.jpg,a dog\nb.jpg,a cat, a dog and a man\n")
    records = open_records(str(path))
    assert records[0] == {"image": "a.jpg", "caption": "a dog"}
    with pytest.raises(SampleError, match=r"row 2: has more cells than the header's 2"):
        records[1]


def test_many_threads_read_at_once(tmp_path):
    rows = [{"id": i, "text": "x" * (i % 97)} for i in range(400)]
    records = open_records(str(write(tmp_path / "a.json", rows)))
    wrong = []

    def read(start):
        wrong.extend(i for i in range(start, 400, 4) if records[i] != rows[i])

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_media_in_parquet_stay_undecoded(tmp_path):
    features = datasets.Features({"images": datasets.List(datasets.Image()), "photo": datasets.Image()})
    row = {"images": [{"bytes": b"junk", "path": None}], "photo": {"bytes": b"more junk", "path": None}}
    datasets.Dataset.from_list([row], features=features).to_parquet(tmp_path / "a.parquet")
    assert open_records(str(tmp_path / "a.parquet"))[0] == row


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"reading parquet needs .* pip install 'modalink\[data\]'"):
        open_records(str(tmp_path / "a.parquet"))


# Streams


@pytest.fixture
def numbers(tmp_path):
    folder = tmp_path / "numbers"
    folder.mkdir()
    for shard in range(3):
        rows = [{"number": 10 * shard + i} for i in range(10)]
        datasets.Dataset.from_list(rows).to_parquet(folder / f"{shard}.parquet")
    return str(folder)


def stream(folder, window=7, seed=0):
    dataset = load_dataset(folder, subset=None, split="train", revision=None, streaming=True)
    return RecordStream(dataset, conversation, "numbers", window, seed)


def conversation(record, where):
    return Conversation((Turn("user", (Text(str(record["number"])),)),), where)


def taken(source, count):
    return [int(source.conversation(next(source)).turns[0].text) for _ in range(count)]


def test_a_stream_gives_each_record_once_a_pass_in_shuffled_windows(numbers):
    source = stream(numbers)
    passes = [taken(source, 30) for _ in range(3)]
    for found in passes:
        assert sorted(found) == list(range(30))
        assert sorted(found[:7]) == list(range(7))
    assert passes[0] != passes[1] != passes[2]
    assert taken(stream(numbers, seed=0), 30) == passes[0] != taken(stream(numbers, seed=1), 30)


def test_a_window_of_one_keeps_the_order(numbers):
    assert taken(stream(numbers, window=1), 60) == [*range(30)] * 2


def test_a_stream_is_taken_up_at_every_place(numbers):
    whole = taken(stream(numbers), 80)
    source = stream(numbers)
    for place in range(80):
        state = json.loads(json.dumps(source.state_dict()))
        if place % 13 == 0:
            again = stream(numbers)
            again.load_state_dict(state)
            assert taken(again, min(20, 80 - place)) == whole[place : place + 20]
        assert taken(source, 1) == [whole[place]]


def test_a_streamed_record_is_named_by_its_number_in_the_pass(numbers):
    source = stream(numbers, window=1)
    taken(source, 12)
    assert source.conversation(next(source)).id == "numbers[12]"


def test_an_empty_stream_is_an_error(tmp_path):
    datasets.Dataset.from_dict({"number": []}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="looked for records in the stream; found none"):
        stream(str(tmp_path))


def test_a_data_set_that_cannot_be_had_is_one_clear_error():
    with pytest.raises(DataError, match=r"^nobody/nothing: cannot be loaded as a data set: .*Hub"):
        load_dataset("nobody/nothing", subset=None, split="train", revision=None, streaming=True)
