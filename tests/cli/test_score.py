"""`modalink score` from the command line."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]

GOLD = [{"question_id": n, "question": "what", "answer": "cat"} for n in range(4)]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    """Annotations, predictions of which three of four are right, and predictions of which none is."""
    texts = {
        "gold.json": json.dumps(GOLD),
        "good.jsonl": "".join(f'{{"question_id": {n}, "answer": "{"cat" if n else "dog"}"}}\n' for n in range(4)),
        "bad.csv": "question_id,answer\n" + "".join(f"{n},dog\n" for n in range(4)),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return str(tmp_path / "gold.json"), str(tmp_path / "good.jsonl"), str(tmp_path / "bad.csv")


def test_json_is_one_object(modalink: Run, files: tuple[str, str, str]) -> None:
    gold, good, bad = files
    result = modalink(
        "score", "MSVD-QA", "--predictions", good, "--annotations", gold, "--against", bad, "--per-item", "--json"
    )
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["benchmark"], found["score"], found["count"], found["parse_failures"]) == ("msvd_qa", 75.0, 4, 0)
    assert found["interval"][0] <= 75 <= found["interval"][1]
    assert found["metrics"]["accuracy"] == 75 and "equals the answer" in found["rule"]
    assert [item["score"] for item in found["items"]] == [0, 1, 1, 1]
    assert found["against"]["difference"] == 75


def test_words_for_people(modalink: Run, files: tuple[str, str, str]) -> None:
    gold, good, bad = files
    result = modalink("score", "msvd_qa", "--predictions", good, "--annotations", gold, "--against", bad, "--per-item")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("msvd_qa: 75 percent   95 % interval")
    assert lines[1] == "4 scored, 0 parse failures"
    assert any(line.startswith("rule: accuracy, the reply equals") for line in lines)
    assert any(line.startswith("against: +75") and "p = " in line for line in lines)
    assert json.loads(lines[-1]) == {"id": "3", "score": 1.0, "answer": "cat", "parsed": True}


def test_partial_says_what_is_missing(modalink: Run, files: tuple[str, str, str], tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text('{"question_id": 1, "answer": "cat"}\n')
    result = modalink("score", "msvd_qa", "--predictions", str(few), "--annotations", files[0])
    assert result.exit_code == 1 and "3 of 4 questions have no prediction" in result.stderr
    result = modalink("score", "msvd_qa", "--predictions", str(few), "--annotations", files[0], "--partial")
    assert result.exit_code == 0 and "note: partial: 3 of 4 questions" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["score", "vqav3"], 2, "needed --predictions"),
        (["score", "vqav3", "--predictions", "x.json"], 2, "did you mean 'vqav2'"),
        (["score", "vqav2", "--predictions", "x.json", "--option", "variant"], 2, "needed KEY=VALUE"),
        (["score", "vqav2", "--predictions", "x.json", "--option", "variant=mine"], 2, "option variant: found 'mine'"),
        (["score", "vqav2", "--predictions", "x.json", "--annotations", "y.json"], 1, "y.json: no such file"),
    ],
)
def test_wrong_use(modalink: Run, arguments: list[str], code: int, says: str) -> None:
    result = modalink(*arguments)
    assert result.exit_code == code and says in result.stderr and "Traceback" not in result.stderr


def test_options_reach_the_benchmark(modalink: Run, files: tuple[str, str, str]) -> None:
    arguments = ["--predictions", files[1], "--annotations", files[0], "--json", "--option", "match=caseless"]
    found = json.loads(modalink("score", "msvd_qa", *arguments, "--option", "replicates=10").stdout)
    assert found["options"] == {"match": "caseless", "replicates": 10} and "but for case" in found["rule"]


def test_list_names_every_benchmark_with_formats_and_rule(modalink: Run) -> None:
    rows = json.loads(modalink("score", "list", "--json").stdout)
    assert len(rows) == 50
    fields = {"name", "title", "unit", "rule", "source", "annotations", "predictions", "data", "options"}
    assert fields == rows[0].keys()
    text = modalink("score", "list").stdout
    assert "\npope: POPE (fraction)\n    rule: mean over splits" in text


def test_scoring_text_does_not_wait_for_torch(files: tuple[str, str, str]) -> None:
    code = (
        "import sys; from pathlib import Path; from modalink.cli.score import score;"
        f"score('msvd_qa', Path({files[1]!r}), Path({files[0]!r}));"
        "print(sorted({'torch', 'transformers', 'sklearn', 'openpyxl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
