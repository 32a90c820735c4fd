"""Every benchmark under the same trials: what a user does wrong is said in words, and no number is no number."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modalink.errors import DataError, ModalinkError, OptionError
from modalink.scoring.registry import load, names
from modalink.scoring.score import ScoreReport, score
from tests.conftest import Write
from tests.scoring.small_files import FILES, JUDGED, SETS, Case, small_case

ASKED = sorted({*names()} - SETS)
DISTINCT = sorted({load(name)[1].questions.__module__: name for name in FILES}.values())  # type: ignore[attr-defined]
"""Of each family, which reads one kind of annotations, one."""

Open = Callable[[str], Case]


@pytest.fixture
def open_case(write: Write, tmp_path: Path) -> Open:
    return lambda name: small_case(name, write, tmp_path)


def result(name: str, case: Case, **options: Any) -> ScoreReport | ModalinkError:
    """The report, or the error in words; anything else that is raised is a defect."""
    try:
        report = score(name, case.predictions, case.annotations, {"replicates": 20, **case.options, **options})
    except ModalinkError as error:
        assert len(str(error)) < 3000
        assert not set(map(ord, str(error))) & {*range(32)} - {10}
        return error
    json.dumps(report.as_dict(per_item=True), allow_nan=False)
    return report


@pytest.mark.parametrize("name", names())
def test_what_is_right_is_scored(open_case: Open, name: str) -> None:
    report = result(name, open_case(name))
    assert isinstance(report, ScoreReport) and report.count and not report.parse_failures


@pytest.mark.parametrize("option", ["id_field", "reply_field"])
@pytest.mark.parametrize("name", names())
def test_a_field_that_is_not_there_is_an_error(open_case: Open, name: str, option: str) -> None:
    error = result(name, open_case(name), **{option: "absent"})
    assert isinstance(error, OptionError if name in SETS else DataError)
    assert ("absent" in str(error)) or name in SETS


@pytest.mark.parametrize("name", ASKED)
def test_rows_in_order_are_told_and_ids_are_not_optional(open_case: Open, write: Write, name: str) -> None:
    case = open_case(name)
    field = FILES[name].id_field if name in FILES else "question_id"
    rows = [{key: value for key, value in row.items() if key != field} for row in case.rows]
    case.predictions = write("bare.jsonl", rows)
    report = result(name, case)
    assert isinstance(report, DataError) == name.startswith("mme")
    assert isinstance(report, DataError) or any("matched by order" in note for note in report.notes)


@pytest.mark.parametrize("name", ASKED)
def test_a_missing_reply_counts_as_wrong_or_is_refused(open_case: Open, write: Write, name: str) -> None:
    case = open_case(name)
    whole = result(name, case)
    case.predictions = write("few.jsonl", case.rows[:1])
    assert isinstance(result(name, case), DataError)
    report = result(name, case, missing="wrong")
    if name in ("llava_bench", "hateful_memes", "vizwiz_answerability"):
        assert isinstance(report, OptionError) and "missing=wrong" in str(report)
        return
    assert isinstance(report, ScoreReport) and isinstance(whole, ScoreReport)
    assert report.count == whole.count and report.parse_failures == report.summary.count - 1  # type: ignore[operator]
    wrong = 1.0 if name == "speech_recognition" else 0.0
    assert [item.grade.score for item in report.summary.items[1:]] == [wrong] * (len(report.summary.items) - 1)
    assert report.score > whole.score if wrong else report.score < whole.score


@pytest.mark.parametrize("name", ASKED)
def test_files_without_a_common_id_show_one_of_each(open_case: Open, write: Write, name: str) -> None:
    case = open_case(name)
    field = FILES[name].id_field if name in FILES else "question_id"
    case.predictions = write("other.jsonl", [{**row, field: f"other{n}"} for n, row in enumerate(case.rows)])
    for missing in ("error", "skip", "wrong"):
        error = result(name, case, missing=missing)
        assert isinstance(error, DataError) and "no prediction for any question" in str(error)
        assert "other0" in str(error) and "--partial" not in str(error) and "id_field" in str(error)


ODD = ["", "nonsense", "-1", "nan", "1e400", "9" * 5000, "a\nb", "\ud800"]


@pytest.mark.parametrize("name", names())
def test_odd_options_end_in_words(open_case: Open, name: str) -> None:
    case = open_case(name)
    _, benchmark = load(name)
    for option in benchmark.options.model_fields:
        for value in ODD:
            # An address is tried five times, with pauses; a network is no matter of files.
            if option not in ("judge", "count") or value == "nonsense":
                result(
                    name, case, **{"judge_model": "m", option: value} if option == "judge_model" else {option: value}
                )


FIELDS = [None, True, -1, math.nan, 10**30, "", "\ud800\n", "9" * 5000, [], [[1]], {"a": 1}]


def _rows_of(data: Any) -> Iterator[dict[str, Any]]:
    """The mappings of a file that hold its fields."""
    for value in data.values() if isinstance(data, dict) else data:
        if isinstance(value, list):
            yield from (row for row in value if isinstance(row, dict))
        elif isinstance(value, dict):
            yield value


@pytest.mark.parametrize("name", DISTINCT)
def test_odd_annotations_end_in_words(open_case: Open, write: Write, name: str) -> None:
    case, files = open_case(name), FILES[name]
    table = files.gold_name.endswith(".tsv")
    data = [dict(zip(files.gold[0], row, strict=True)) for row in files.gold[1:]] if table else files.gold
    for key in next(_rows_of({"rows": data} if table else data)):
        for value in FIELDS:
            changed = json.loads(json.dumps(data))
            next(_rows_of({"rows": changed} if table else changed))[key] = value
            case.annotations = write("odd.json", json.dumps(changed))
            result(name, case, missing="skip")


@pytest.mark.parametrize("name", ASKED)
def test_odd_predictions_end_in_words(open_case: Open, write: Write, name: str) -> None:
    case = open_case(name)
    for key in case.rows[0]:
        for value in FIELDS:
            case.predictions = write("odd.json", json.dumps([{**case.rows[0], key: value}, *case.rows[1:]]))
            result(name, case, missing="skip")


DAMAGED = {
    "empty.json": b"",
    "list.json": b"[]",
    "number.json": b"7",
    "text.json": b'"text"',
    "cut.json": b'[{"question_id": 1, "answer": "a',
    "deep.json": b"[" * 100_000,
    "deep.jsonl": b'{"question_id": ' + b"[" * 5_000 + b"]" * 5_000 + b"}\n",
    "digits.jsonl": b'{"question_id": ' + b"7" * 6_000 + b', "answer": "a"}\n',
    "twice.json": b'[{"question_id": 1, "answer": "a", "answer": "b"}]',
    "latin.jsonl": b'{"answer": "caf\xe9"}\n',
    "utf16.json": "[]".encode("utf-16"),
    "zeros.json": bytes(1000),
    "twice.csv": b"id,text,text\n1,a,b\n",
    "wide.csv": b"id,text\n1,a,b\n",
    "empty.csv": b"",
    "zeros.tsv": bytes(1000),
    "no.xlsx": b"no workbook",
    "empty.txt": b"",
    "no.npy": b"no numbers",
    "no.npz": b"PK\x03\x04" + bytes(100),
    "short.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3), }".ljust(
        128
    ),
    "pickle.npy": b"\x80\x04N.",
    "no.parquet": b"PAR1",
    "dots...": b"",
}


@pytest.mark.parametrize("name", names())
def test_damaged_files_end_in_words(open_case: Open, tmp_path: Path, name: str) -> None:
    case = open_case(name)
    for file, content in DAMAGED.items():
        path = tmp_path / "damaged" / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        error = result(name, Case(path, case.annotations, case.options, []))
        assert isinstance(error, ModalinkError), file
        if name in DISTINCT:
            error = result(name, Case(case.predictions, path, case.options, []))
            assert isinstance(error, ModalinkError) and file in str(error), file
        if name in JUDGED:
            error = result(name, case, replies=str(path))
            assert isinstance(error, ModalinkError), file
    for path in (tmp_path / ("x" * 300), tmp_path / "none.json", tmp_path, Path("a\0b"), tmp_path / "a\nb.json"):
        error = result(name, Case(path, case.annotations, case.options, []))
        assert isinstance(error, ModalinkError)
