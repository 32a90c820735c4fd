"""Reading rows of every format, and saying what is wrong with a file."""

import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from modalink.errors import DataError
from modalink.scoring.rows import Limits, read_member, read_rows
from tests.conftest import Write

LIMITS = Limits()
ROWS = [{"id": 1, "answer": 'ä, "b"'}, {"id": 2, "answer": ""}]


def fields(path: Path, *inside: str, limits: Limits = LIMITS) -> list[dict[str, Any]]:
    return [dict(row.fields) for row in read_rows(path, inside, limits)]


def test_array_lines_and_table_give_the_same_rows(write: Write) -> None:
    table = [["id", "answer"], *([str(row["id"]), row["answer"]] for row in ROWS)]
    texts = [{name: str(value) for name, value in row.items()} for row in ROWS]
    assert fields(write("a.json", ROWS)) == ROWS
    assert fields(write("a.jsonl", ROWS)) == ROWS
    assert fields(write("a.csv", table)) == fields(write("a.tsv", table)) == texts


def test_json_lines_are_known_by_their_content(write: Write) -> None:
    lines = "\n".join(json.dumps(row) for row in ROWS)
    assert fields(write("pope.json", f"\n{lines}\n\n")) == ROWS
    assert fields(write("one.jsonl", json.dumps(ROWS[0]))) == ROWS[:1]


def test_object_by_id(write: Write) -> None:
    found = list(read_rows(write("a.json", {"v1_0": "text", "v1_1": {"pred": "x"}})))
    assert [(row.key, dict(row.fields)) for row in found] == [("v1_0", {"value": "text"}), ("v1_1", {"pred": "x"})]


def test_rows_inside_an_object(write: Write) -> None:
    path = write("a.json", {"info": {}, "license": [1], "annotations": ROWS, "other": [{"id": 3}]})
    assert fields(path, "annotations") == ROWS
    path = write("b.json", {"acc": 3, "results": {"7": 0, "9": 1}})
    assert [(row.key, row.fields["value"]) for row in read_rows(path, ("results",))] == [("7", 0), ("9", 1)]
    by_id = {str(n): "x" for n in range(200)}
    assert len(fields(write("c.json", by_id), "results")) == 200


def test_one_member_whatever_stands_before(write: Write) -> None:
    path = write("a.json", {"info": {"a": [1]}, "n": 3, "images": [{"id": 9}] * 100, "annotations": ROWS})
    assert [dict(row.fields) for row in read_member(path, "annotations")] == ROWS
    assert len(list(read_member(path, "images"))) == 100
    assert list(read_member(path, "nothing")) == list(read_member(write("b.json", ROWS), "annotations")) == []
    assert list(read_member(write("c.csv", [["id"], [1]]), "annotations")) == []


def test_workbook(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for line in [["index", "prediction"], [1, "A"], [2, None], [3.0, 2]]:
        book.active.append(line)
    book.save(tmp_path / "upload.xlsx")
    found = fields(tmp_path / "upload.xlsx")
    assert found == [{"index": 1, "prediction": "A"}, {"index": 2, "prediction": ""}, {"index": 3, "prediction": 2}]


def test_text_keeps_every_line(write: Write) -> None:
    assert [row.fields["value"] for row in read_rows(write("a.txt", "1\n\n0 \n"))] == ["1", "", "0 "]


def test_values_longer_than_a_chunk(write: Write) -> None:
    limits = Limits(chunk=7)
    data = [{"id": 123456789, "answer": "long " * 50, "numbers": [1.25, -3, True, None]}, {"id": 2, "answer": 'é"\\\n'}]
    assert fields(write("a.json", data), limits=limits) == data
    assert fields(write("b.json", {"info": 1, "data": data}), "data", limits=limits) == data
    assert [row["value"] for row in fields(write("c.json", {"k": "v" * 40, "l": 12345678}), limits=limits)] == [
        "v" * 40,
        12345678,
    ]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", "", "empty"),
        ("a.json", "[{}, {]", "not valid JSON"),
        ("a.json", "[{}] extra", "after the end"),
        ("a.json", '{"a": 1', "needed ',' or '}'"),
        ("a.json", '[{"a": "never ends', "Unterminated"),
        ("a.json", '{"a": 1, b: 2}', "double quotes"),
        ("a.json", "[" * 100_000, "nested deeper"),
        ("a.jsonl", '{"a": 1}\n{"a": }\n', "a.jsonl, line 2"),
        ("a.csv", "a,b\n1,2\n3\n", "line 3: found another number of columns than the 2"),
        ("a.csv", "id,text,text\n1,a,b\n", "found the column 'text' twice"),
        ("a.json", '[{"id": 1, "text": "a", "text": "b"}]', "found the key 'text' twice"),
        ("a.jsonl", '{"id": 1, "text": "a", "text": "b"}\n', "line 1: found the key 'text' twice"),
        ("a.xlsx", "no workbook", "not an XLSX workbook"),
        ("a.parquet", "x", "found a .parquet file"),
    ],
)
def test_damage_is_named(write: Write, name: str, text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        fields(write(name, text))


def test_missing_file_and_foreign_encoding(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        fields(tmp_path / "none.json")
    (tmp_path / "latin.jsonl").write_bytes(b'{"answer": "caf\xe9"}\n')
    with pytest.raises(DataError, match="not UTF-8"):
        fields(tmp_path / "latin.jsonl")


def test_too_long_a_value_is_refused(write: Write) -> None:
    limits = Limits(chunk=10, longest=100)
    with pytest.raises(DataError, match="longer than 100"):
        fields(write("a.jsonl", [{"a": "x" * 200}]), limits=limits)


def test_files_of_one_name_are_told_apart(write: Write) -> None:
    for folder in ("a", "b"):
        with pytest.raises(DataError, match=f"{folder}/answers.jsonl, line 1"):
            fields(write(f"{folder}/answers.jsonl", "{"))
