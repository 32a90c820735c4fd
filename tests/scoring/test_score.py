"""How predictions meet questions, and what happens where they do not."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

from modalink.errors import DataError, OptionError, RecipeError, UnknownNameError
from modalink.scoring import matching, registry
from modalink.scoring import score as scoring
from modalink.scoring.benchmark import QuestionBenchmark, Summary
from modalink.scoring.matching import grade_predictions
from modalink.scoring.registry import catalogue, load, names
from modalink.scoring.score import score
from tests.conftest import Write

NAMES = """
activitynet_qa activitynet_qa_judge audiocaps chartqa clipscore clotho coco_captions fad fid flickr30k fvd gqa
hateful_memes iconqa inception_score llava_bench mmbench mmbench_cn mme mme_cognition mme_perception mmvet modelnet40
msrvtt_qa msrvtt_qa_judge msvd_qa msvd_qa_judge nocaps okvqa pope qbench refcoco refcoco_plus refcocog
scienceqa scienceqa_image seedbench seedbench_image speech_recognition textvqa tiny_world vizwiz vizwiz_answerability vqav2 vsr
coco_images geneval audiocaps_sounds msrvtt_videos cap3d_shapes
"""
GOLD = [
    {"question_id": 1, "question": "what is it", "answer": "cat"},
    {"question_id": 2, "question": "what else", "answer": "dog"},
    {"question_id": 3, "question": "who", "answer": "man"},
    {"question_id": 4, "question": "who else", "answer": "boy"},
]


def replies(*pairs: tuple[int, object]) -> list[dict[str, object]]:
    return [{"question_id": key, "answer": reply} for key, reply in pairs]


RIGHT = replies((3, "man"), (1, "cat"), (2, "wolf"), (4, "boy"))


def test_every_benchmark_of_the_survey_and_its_neighbours_is_there() -> None:
    assert names() == sorted(NAMES.split())


def test_every_benchmark_tells_its_rule_source_and_formats() -> None:
    for row in catalogue():
        assert all(row.values()), row["name"]
        assert re.search(r"[12]\d{3}|jiwer|modalink", row["source"]), f"{row['name']}: a source has a year"


class OtherPackage(SimpleNamespace):
    """An installed package that offers one benchmark."""

    def load(self) -> object:
        return self.value


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, object], None]]:
    def install(name: str, value: object) -> None:
        monkeypatch.setattr(registry, "entry_points", lambda group: [OtherPackage(name=name, value=value)])
        registry.all_benchmarks.cache_clear()

    yield install
    registry.all_benchmarks.cache_clear()


def test_another_package_brings_a_benchmark(offer: Callable[[str, object], None], write: Write) -> None:
    offer("mine", replace(load("msvd_qa")[1], title="Mine"))
    assert "mine" in names() and score("mine", write("p.jsonl", RIGHT), write("a.json", GOLD)).score == 75


@pytest.mark.parametrize(("name", "value", "says"), [("pope", None, "two benchmarks"), ("mine", "x", "found str")])
def test_what_another_package_must_not_bring(
    offer: Callable[[str, object], None], name: str, value: object, says: str
) -> None:
    offer(name, value or load("pope")[1])
    with pytest.raises(RecipeError, match=says):
        names()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("VQAv2", "vqav2"),
        ("IconVQA", "iconqa"),
        ("LLaVA-Bench in the wild", "llava_bench"),
        ("RefCOCO+", "refcoco_plus"),
        ("MM-Vet", "mmvet"),
        ("SEED-Bench image", "seedbench_image"),
        ("Q-Bench", "qbench"),
        ("HatefulMemes", "hateful_memes"),
    ],
)
def test_names_are_found_as_papers_spell_them(name: str, found: str) -> None:
    assert load(name)[0] == found


def test_order_does_not_matter_and_the_report_is_whole(write: Write) -> None:
    report = score("msvd_qa", write("p.jsonl", RIGHT), write("a.json", GOLD))
    assert report.score == report.metrics["accuracy"] == 75.0
    assert (report.count, report.parse_failures, report.notes) == (4, 0, [])
    assert report.metrics["question/what"] == 50.0 and report.metrics["question/who"] == 100.0
    assert report.interval is not None and report.interval[0] <= 75 <= report.interval[1]
    data = report.as_dict(per_item=True)
    assert {"benchmark", "rule", "score", "metrics", "count", "parse_failures", "interval", "items"} <= data.keys()
    assert data["items"][1] == {"id": "2", "score": 0.0, "answer": "wolf", "parsed": True}


def test_an_id_is_the_same_as_number_and_as_text(write: Write) -> None:
    texts = [{**row, "question_id": str(row["question_id"])} for row in RIGHT]
    floats = [{**row, "question_id": float(str(row["question_id"]))} for row in RIGHT]
    gold = write("a.json", GOLD)
    assert (
        score("msvd_qa", write("t.json", texts), gold).score
        == score("msvd_qa", write("f.json", floats), gold).score
        == 75
    )


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (RIGHT[:3], r"1 of 4 questions have no prediction \(4\).*--partial scores the 3"),
        ([*RIGHT, *replies((1, "cat"))], "1 predictions are doubled .*answers 1 again"),
        ([*RIGHT, *replies((9, "x"))], r"1 predictions answer no question .*line 5 \(9\)"),
        ([*RIGHT[:3], *replies((9, "x"))], "have no prediction.*answer no question"),
    ],
)
def test_what_does_not_fit_is_an_error_and_partial_tells(write: Write, rows: list[object], says: str) -> None:
    predictions, gold = write("p.jsonl", rows), write("a.json", GOLD)
    with pytest.raises(DataError, match=says):
        score("msvd_qa", predictions, gold)
    report = score("msvd_qa", predictions, gold, {"missing": "skip"})
    assert report.notes and all(note.startswith("partial:") for note in report.notes)
    assert report.count == (4 if rows[3:4] == RIGHT[3:] else 3)


def test_missing_may_count_as_wrong_but_doubled_may_not(write: Write) -> None:
    gold = write("a.json", GOLD)
    report = score("msvd_qa", write("p.jsonl", RIGHT[:2]), gold, {"missing": "wrong"})
    assert report.score == 50 and "count as empty replies" in report.notes[0]
    with pytest.raises(DataError, match="doubled"):
        score("msvd_qa", write("d.jsonl", [*RIGHT, RIGHT[0]]), gold, {"missing": "wrong"})


def test_nothing_that_fits_is_an_error_even_when_partial(write: Write) -> None:
    with pytest.raises(DataError, match="no prediction for any question"):
        score("msvd_qa", write("p.jsonl", replies((8, "x"))), write("a.json", GOLD), {"missing": "skip"})


def test_annotations_with_an_id_twice_are_refused(write: Write) -> None:
    with pytest.raises(DataError, match="question '1' twice"):
        score("msvd_qa", write("p.jsonl", RIGHT), write("a.json", [*GOLD, GOLD[0]]))


def test_rows_without_ids_follow_the_annotations_unless_their_questions_do_not(write: Write) -> None:
    gold = write("a.json", GOLD)
    rows = [{"answer": word} for word in ("cat", "dog", "man", "girl")]
    assert score("msvd_qa", write("p.jsonl", rows), gold).score == 75
    with pytest.raises(DataError, match="1 of 4 questions have no prediction"):
        score("msvd_qa", write("few.jsonl", rows[:3]), gold)
    with pytest.raises(DataError, match="a row too many"):
        score("msvd_qa", write("many.jsonl", [*rows, rows[0]]), gold)
    swapped = [{**row, "question": question["question"]} for row, question in zip(rows, reversed(GOLD), strict=True)]
    with pytest.raises(DataError, match="found the question 'who else' where the annotations have 'what is it'"):
        score("msvd_qa", write("swapped.jsonl", swapped), gold)


@pytest.mark.parametrize("reply", [None, True, math.nan, math.inf, ["cat"], {"text": "cat"}])
def test_replies_that_are_none_are_named(write: Write, reply: object) -> None:
    with pytest.raises(DataError, match=r"line 1: found .* as reply, needed text"):
        score("msvd_qa", write("p.jsonl", replies((1, reply))), write("a.json", GOLD))


@pytest.mark.parametrize("key", [None, True, math.nan, 1.5, [1]])
def test_ids_that_are_none_are_named(write: Write, key: object) -> None:
    with pytest.raises(DataError, match=r"line 1: found .* as id"):
        score("msvd_qa", write("p.jsonl", [{"question_id": key, "answer": "cat"}]), write("a.json", GOLD))


def test_rows_without_a_reply_are_named(write: Write) -> None:
    with pytest.raises(DataError, match=r"line 1: found 'question_id', 'words', needed a reply"):
        score("msvd_qa", write("p.jsonl", [{"question_id": 1, "words": "cat"}]), write("a.json", GOLD))


def test_fields_may_have_other_names(write: Write) -> None:
    rows = [{"number": row["question_id"], "words": row["answer"]} for row in RIGHT]
    options = {"id_field": "number", "reply_field": "words"}
    assert score("msvd_qa", write("p.jsonl", rows), write("a.json", GOLD), options).score == 75


@pytest.mark.parametrize("reply", ["", "x" * 10_000, "\ud800", "👩‍👩‍👧 ñ ß \u202e", "cat dog man", "\n\t\n", 7, 7.5])
@pytest.mark.parametrize("name", ["msvd_qa", "vqav2", "gqa"])
def test_odd_replies_give_a_number(write: Write, name: str, reply: object) -> None:
    gold = [{"question_id": 1, "answers": [{"answer": "cat"}] * 10}] if name == "vqav2" else {"1": GOLD[0]}
    gold_file = write("a.json", {"annotations": gold} if name == "vqav2" else gold)
    report = score(name, write("p.jsonl", replies((1, reply))), gold_file)
    assert report.score == 0 and len(report.summary.items[0].grade.answer) <= 201


def test_texts_that_must_be_kept_have_a_limit(write: Write) -> None:
    path = write("p.json", [{"prediction": "x" * 600, "references": ["a"]}] * 2)
    _, benchmark = load("coco_captions")
    options = benchmark.options()
    with pytest.raises(DataError, match="item 2: the replies so far have more than 1000 characters"):
        grade_predictions(
            benchmark, list(benchmark.questions(path, options)), path, options, by_row=True, most_kept=1000
        )
    assert score("msvd_qa", write("q.json", [{"answer": "x" * 600}] * 4), write("a.json", GOLD)).score == 0


def test_unknown_names_and_bad_options_are_wrong_use(write: Write) -> None:
    predictions, gold = write("p.jsonl", RIGHT), write("a.json", GOLD)
    with pytest.raises(UnknownNameError, match="did you mean 'vqav2'"):
        score("vqa2", predictions, gold)
    with pytest.raises(UnknownNameError, match="option of MSVD-QA 'macth'; did you mean 'match'"):
        score("msvd_qa", predictions, gold, {"macth": "exact"})
    with pytest.raises(OptionError, match="option match: found 'fuzzy'"):
        score("msvd_qa", predictions, gold, {"match": "fuzzy"})
    assert OptionError.exit_code == UnknownNameError.exit_code == 2


def test_annotations_are_asked_for_where_predictions_lack_them(write: Write) -> None:
    with pytest.raises(DataError, match="needed --annotations"):
        score("msvd_qa", write("p.jsonl", RIGHT))


def test_against_another_file_is_a_paired_test(write: Write) -> None:
    gold = [{"question_id": n, "answer": "a"} for n in range(40)]
    good = replies(*((n, "a") for n in range(40)))
    bad = replies(*((n, "a" if n >= 20 else "b") for n in range(40)))
    report = score("msvd_qa", write("g.jsonl", good), write("a.json", gold), against=write("b.jsonl", bad))
    assert report.comparison is not None and report.comparison.difference == 50
    assert report.comparison.p_value < 0.001 and report.comparison.interval[0] > 30
    assert report.as_dict()["against"]["difference"] == 50


def test_files_that_answer_other_questions_are_compared_in_what_they_share(write: Write) -> None:
    gold = write("a.json", [{"question_id": n, "answer": "a"} for n in range(40)])
    good, bad = (replies(*((n, text) for n in range(40))) for text in ("a", "b"))
    mine, theirs = write("g.jsonl", good[:39]), write("b.jsonl", bad[1:])
    with pytest.raises(DataError, match="1 of 40 questions have no prediction"):
        score("msvd_qa", mine, gold, against=theirs)
    report = score("msvd_qa", mine, gold, {"missing": "skip"}, theirs)
    assert report.count == 38 and report.comparison is not None and report.comparison.difference == 100
    assert any("38 questions are answered in both files (39 and 39)" in note for note in report.notes)
    with pytest.raises(DataError, match="no question that both files answer"):
        score("msvd_qa", write("c.jsonl", good[:1]), gold, {"missing": "skip"}, theirs)


def test_ids_are_shown_on_one_line_and_cut(write: Write) -> None:
    rows = [*RIGHT, {"question_id": "a\nb" + "c" * 5000, "answer": "x"}]
    with pytest.raises(DataError, match=r"\(a\\nbc+\.\.\.\)") as error:
        score("msvd_qa", write("p.jsonl", rows), write("a.json", GOLD))
    assert len(str(error.value)) < 500


def test_a_file_of_other_predictions_is_not_read_to_its_end(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MOST_UNMATCHED_IN_ERROR", 10)
    monkeypatch.setattr(matching, "MOST_UNMATCHED", 20)
    rows = [RIGHT[0]] * 15
    with pytest.raises(DataError, match=r"line 12: more than 10 predictions .* answers 3 again"):
        score("msvd_qa", write("p.jsonl", rows), write("a.json", GOLD))
    assert score("msvd_qa", write("p.jsonl", rows), write("a.json", GOLD), {"missing": "skip"}).count == 1


def test_score_that_is_no_number_is_an_error(write: Write) -> None:
    benchmark = load("msvd_qa")[1]
    assert isinstance(benchmark, QuestionBenchmark)
    odd = replace(benchmark, summarise=lambda items, options: Summary(math.nan, {}, items=items, count=len(items)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "load", lambda name: (name, odd))
        with pytest.raises(DataError, match="score is nan"):
            score("msvd_qa", write("p.jsonl", RIGHT), write("a.json", GOLD))
