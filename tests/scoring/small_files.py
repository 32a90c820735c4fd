"""The smallest files of every benchmark in which all is right: four questions, their right answers, their replies."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modalink.scoring.benchmark import QuestionBenchmark
from modalink.scoring.feature_store import FeatureStore
from modalink.scoring.made_media import MadeMedium
from modalink.scoring.registry import load
from tests.conftest import Write

FAST = {"tokenizer": "python", "meteor": "false", "spice": "false"}
WORDS = ["a red cat", "a blue dog", "two green birds", "one small house"]
JUDGED = {"llava_bench", "mmvet", "activitynet_qa_judge", "msrvtt_qa_judge", "msvd_qa_judge"}
MADE = {"coco_images", "geneval", "audiocaps_sounds", "msrvtt_videos", "cap3d_shapes"}
"""Benchmarks of made media, whose predictions are a folder."""
SETS = {"fid", "fad", "fvd", "inception_score", "clipscore", *MADE}
"""Benchmarks without questions that words answer."""
GENERATED = {"tiny_world"}
"""Benchmarks without files of questions."""


@dataclass
class Files:
    """Rows of annotations and of predictions, with the fields that hold ids and replies."""

    gold: Any
    replies: list[Any]
    id_field: str = "question_id"
    reply_field: str = "text"
    options: dict[str, Any] = field(default_factory=dict)
    gold_name: str = "gold.json"
    ids: list[str] = field(default_factory=lambda: ["11", "12", "13", "14"])

    @property
    def predictions(self) -> list[dict[str, Any]]:
        """Rows with the id and the reply."""
        rows = zip(self.ids, self.replies, strict=True)
        return [{self.id_field: key, self.reply_field: reply} for key, reply in rows]


def _rows(**columns: list[Any]) -> list[dict[str, Any]]:
    ids = [11, 12, 13, 14]
    return [{"question_id": key} | {name: values[n] for name, values in columns.items()} for n, key in enumerate(ids)]


ASKED = [f"What is {n}?" for n in range(4)]
CHOICES = [["blue", "red"]] * 4
LETTERS = ["A", "B", "A", "B"]
NAMES = [f"{n}.jpg" for n in range(4)]
NOUNS = ["cat", "dog", "bird", "house"]


def _vqa() -> list[dict[str, Any]]:
    answers = [[{"answer": word, "raw_answer": word} for _ in range(10)] for word in NOUNS]
    return _rows(question=ASKED, image=NAMES, image_id=NAMES, answers=answers, answer_type=["other"] * 4)


def _mme(tasks: tuple[str, ...]) -> Files:
    rows = [
        {"category": task, "image": "1.jpg", "question": f"Is it {text}?", "answer": text}
        for task in tasks
        for text in ("yes", "no")
    ]
    ids = [f"{task}/{n}" for task in tasks for n in (1, 2)]
    return Files(rows, ["Yes", "No"] * len(tasks), ids=ids)


def _captions(id_field: str) -> Files:
    gold = [{"id": key, "references": [text, text]} for key, text in zip((11, 12, 13, 14), WORDS, strict=True)]
    return Files(gold, WORDS, id_field, "caption", FAST)


def _boxes() -> Files:
    box = {"bbox": [10, 20, 40, 40], "width": 100, "height": 100}
    gold = [{"id": 11 + n, "img_id": NAMES[n], "sents": text, **box} for n, text in enumerate(WORDS)]
    return Files(gold, ["[0.1, 0.2, 0.5, 0.6]"] * 4, "id")


def _problems() -> dict[str, Any]:
    problem = {"question": "What?", "choices": ["blue", "red"], "split": "test", "image": "image.png", "hint": ""}
    problem |= {"subject": "natural science", "ques_type": "choose_txt", "skills": ["color"], "grade": "grade2"}
    return {str(11 + n): {**problem, "answer": n % 2} for n in range(4)}


def _mmbench() -> Files:
    header = ["index", "question", "hint", "A", "B", "answer", "category", "l2-category", "split", "image"]
    table = [[str(11 + n), "What?", "", "blue", "red", LETTERS[n], "c", "l", "dev", ""] for n in range(4)]
    return Files([header, *table], LETTERS, gold_name="gold.tsv")


def _seed() -> dict[str, Any]:
    choices: dict[str, list[Any]] = {f"choice_{letter}": WORDS for letter in "abcd"}
    kinds: dict[str, list[Any]] = {"question_type_id": [1, 2, 1, 2], "answer": LETTERS, "data_id": NAMES}
    return {"questions": _rows(question=ASKED, **kinds, **choices)}


def _videos() -> list[dict[str, Any]]:
    return _rows(question=ASKED, answer=WORDS, type=["0", "3", "4", "0"], video_id=["v"] * 4)


PERCEPTION = ("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
POPE = _rows(text=[f"Is there a thing{n}?" for n in range(4)], image=["1.jpg"] * 4, label=["yes", "no"] * 2)
MEMES = [{"id": 11 + n, "img": "1.png", "text": "t", "label": n % 2} for n in range(4)]
VSR = [{"id": 11 + n, "image": "1.jpg", "caption": w, "label": 1, "relation": "on"} for n, w in enumerate(WORDS)]
QBENCH = _rows(question=ASKED, candidates=CHOICES, correct_ans=["blue", "red"] * 2, type=[0] * 4, concern=[1] * 4)
GQA = {str(11 + n): {"question": ASKED[n], "answer": WORDS[n], "isBalanced": True} for n in range(4)}
MMVET = {str(11 + n): {"question": ASKED[n], "answer": WORDS[n], "capability": ["ocr"]} for n in range(4)}
LLAVA = _rows(text=ASKED, image=["1.jpg"] * 4, category=["conv"] * 4)
ANSWERABLE = [{"image": name, "answerable": n % 2} for n, name in enumerate(NAMES)]
PROBABILITIES = [0.1, 0.9, 0.2, 0.8]

FILES = {
    "vqav2": Files({"annotations": _vqa()}, NOUNS, reply_field="answer"),
    "okvqa": Files({"annotations": _vqa()}, NOUNS, reply_field="answer"),
    "textvqa": Files({"data": _vqa()}, NOUNS, reply_field="answer"),
    "vizwiz": Files(_vqa(), NOUNS, "image", "answer", ids=NAMES),
    "vizwiz_answerability": Files(ANSWERABLE, PROBABILITIES, "image", "answerable", ids=NAMES),
    "gqa": Files(GQA, WORDS, "questionId", "prediction"),
    "chartqa": Files(_rows(query=ASKED, label=WORDS, imgname=["1.png"] * 4), WORDS),
    "vsr": Files(VSR, ["true"] * 4, "id"),
    "pope": Files(POPE, ["Yes", "No"] * 2, reply_field="answer"),
    "mme": _mme(PERCEPTION + COGNITION),
    "mme_perception": _mme(PERCEPTION),
    "mme_cognition": _mme(COGNITION),
    "hateful_memes": Files(MEMES, PROBABILITIES, "id", "proba"),
    "scienceqa": Files(_problems(), LETTERS),
    "scienceqa_image": Files(_problems(), LETTERS),
    "iconqa": Files(_problems(), LETTERS, "pid", "answer"),
    "mmbench": _mmbench(),
    "mmbench_cn": _mmbench(),
    "seedbench": Files(_seed(), LETTERS),
    "seedbench_image": Files(_seed(), LETTERS),
    "qbench": Files(QBENCH, LETTERS, reply_field="response"),
    "coco_captions": _captions("image_id"),
    "nocaps": _captions("image_id"),
    "flickr30k": _captions("image_id"),
    "audiocaps": _captions("youtube_id"),
    "clotho": _captions("file_name"),
    "refcoco": _boxes(),
    "refcoco_plus": _boxes(),
    "refcocog": _boxes(),
    "modelnet40": Files(_rows(label=["car", "bed", "cup", "door"]), ["car", "bed", "cup", "door"]),
    "speech_recognition": Files(_rows(reference=WORDS), WORDS),
    "activitynet_qa": Files(_videos(), WORDS, reply_field="answer"),
    "msrvtt_qa": Files(_videos(), WORDS, reply_field="answer"),
    "msvd_qa": Files(_videos(), WORDS, reply_field="answer"),
    "activitynet_qa_judge": Files(_videos(), WORDS),
    "msrvtt_qa_judge": Files(_videos(), WORDS),
    "msvd_qa_judge": Files(_videos(), WORDS),
    "mmvet": Files(MMVET, WORDS),
    "llava_bench": Files(LLAVA, WORDS),
}
VERDICTS = {"mmvet": "0.5", "llava_bench": "8 6"}


@dataclass
class Case:
    """Files on the disk, ready to be scored."""

    predictions: Path
    annotations: Path | None
    options: dict[str, Any]
    rows: list[dict[str, Any]]
    """What the predictions hold; none for sets."""


def small_case(name: str, write: Write, folder: Path) -> Case:
    """The files of a benchmark, written down."""
    if name in MADE:
        return _made(name, write, folder)
    if name in SETS:
        return _set(name, folder)
    if name in GENERATED:
        return _generated(name, write)
    files = FILES[name]
    options = dict(files.options)
    if name in JUDGED:
        verdict = VERDICTS.get(name, "{'pred': 'yes', 'score': 4}")
        options["replies"] = str(write("judged.jsonl", [{"id": key, "reply": verdict} for key in files.ids]))
    rows = files.predictions
    return Case(write("predictions.jsonl", rows), write(files.gold_name, files.gold), options, rows)


def _generated(name: str, write: Write) -> Case:
    _, benchmark = load(name)
    assert isinstance(benchmark, QuestionBenchmark)
    questions = benchmark.questions(Path(), benchmark.options.model_validate({"count": 4}))
    rows = [{"question_id": question.id, "answer": question.gold} for question in questions]
    return Case(write("predictions.jsonl", rows), None, {"count": "4"}, rows)


def _set(name: str, folder: Path) -> Case:
    rng = np.random.default_rng(0)
    if name == "clipscore":
        np.savez(folder / "given.npz", images=rng.normal(size=(4, 3)), captions=rng.normal(size=(4, 3)))
        return Case(folder / "given.npz", None, {}, [])
    values = rng.random((40, 3))
    np.save(folder / "given.npy", values / values.sum(1, keepdims=True))
    np.save(folder / "real.npy", rng.random((40, 3)))
    return Case(folder / "given.npy", None if name == "inception_score" else folder / "real.npy", {}, [])


def made_folder(path: Path, *, missing: tuple[str, ...] = (), prompts: tuple[str, ...] = ("0", "1")) -> Path:
    """Media of two prompts, two each, and what a made-up encoder says of them."""
    path.mkdir(parents=True)
    angles = dict(
        zip([f"{p}-{k}" for p in prompts for k in range(2)], [(1, 0), (0.6, 0.8), (0, 1), (-1, 0)], strict=True)
    )
    rows = []
    for name in angles:
        prompt, _, _ = name.rpartition("-")
        lost = "none was made" if name in missing else ""
        file = "" if lost else f"media/{name}.png"
        rows.append(MadeMedium(name, prompt, f"caption {prompt}", "make it", "here", file, lost, "", "7").row())
    (path / "predictions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    there = [row["question_id"] for row in rows if not row["missing"]]
    clip = FeatureStore.of(path, "clip", "mine", prefix="")
    clip.write("made", 0, there, np.array([angles[name] for name in there], float).reshape(-1, 2))
    clip.write("texts", 0, list(prompts), np.array([[2.0, 0.0], [3.0, 0.0]]))
    return path


def _made(name: str, write: Write, folder: Path) -> Case:
    if name != "geneval":
        return Case(made_folder(folder / "made"), None, {}, [])
    prompts = ("00000", "00001")
    made = made_folder(folder / "made", prompts=prompts)
    rows = [
        {"tag": "single_object", "include": [{"class": "dog"}], "prompt": f"caption {prompt}"} for prompt in prompts
    ]
    dog = json.dumps([["dog", [0, 0, 1, 1], 0.9, ""]])
    found = [{"question_id": f"{prompt}-{k}", "objects": dog if k else "[]"} for prompt in prompts for k in range(2)]
    write("made/detections-1/predictions.jsonl", found)
    return Case(made, write("evaluation_metadata.jsonl", rows), {}, [])
