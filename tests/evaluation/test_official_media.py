"""Every benchmark about videos, sounds or shapes, from its official folder, through the evaluator with a tiny model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import film, numbered
from shapes import BOX

from modalink.conversation import Conversation
from modalink.errors import DataError
from modalink.evaluation import runner
from modalink.evaluation.dataset import open_dataset
from modalink.evaluation.runner import evaluate
from modalink.inference import Completion
from modalink.modalities import audio
from modalink.model import System
from modalink.scoring.registry import catalogue
from tests.conftest import Write
from tests.support.little_recipes import read_by, system_of

SHORT = "\nAnswer the question using a single word or phrase."
LETTER = "\nA. a\nB. b\nC. c\nD. d\nAnswer with the option's letter from the given choices directly."


@dataclass
class Layout:
    """One question as the official files tell it, its medium, and the right reply."""

    files: dict[str, Any]
    medium: str
    modality: str = "video"
    reply: str = "woman"
    asked: str = "who slices?" + SHORT
    wanted: str = ""
    """What is said of the medium where it is missing."""
    missing: str = ""
    """What is said where the annotations are missing."""
    options: dict[str, str] = field(default_factory=dict)
    ids: list[str] = field(default_factory=lambda: ["70"])


XU = [{"answer": "woman", "id": 70, "question": "who slices?", "video_id": 1301}]
MSVD = {"MSVD-QA/test_qa.json": XU, "MSVD-QA/youtube_mapping.txt": "-4wsuPCjDBc_5_15 vid1\nmv89psg6zh4_33_46 vid1301\n"}
MSVD_FILE = {"medium": "YouTubeClips/mv89psg6zh4_33_46.avi", "missing": "needed test_qa.json"}
MSVD_FILE |= {"wanted": r"question 70: no file for 'vid1301' or 'mv89psg6zh4_33_46' or '1301' and .mp4 or"}
MSRVTT_FILE = {"medium": "TestVideo/video1301.mp4", "wanted": "'video1301' or '1301' and", "missing": "test_qa.json"}
ACTIVITY = {
    "dataset/test_q.json": [{"video_name": "1QIUV7W", "question": "who slices?", "question_id": "v_1QIUV7W_3"}],
    "dataset/test_a.json": [{"answer": "woman", "type": 5, "question_id": "v_1QIUV7W_3"}],
}
ACTIVITY_FILE = {"medium": "videos/v_1QIUV7W.mkv", "wanted": "'v_1QIUV7W' or '1QIUV7W' and", "missing": "test_a.json"}
ACTIVITY_FILE |= {"ids": ["v_1QIUV7W_3"]}
JUDGED = {"asked": "who slices?", "reply": "a woman does"}
VERDICTS = {"judged.jsonl": [{"id": key, "reply": "{'pred': 'yes', 'score': 5}"} for key in ("70", "v_1QIUV7W_3")]}
HEARD = "a red cat on a mat"
CAPTIONS = [["audiocap_id", "youtube_id", "start_time", "caption"], ["103549", "7fmO_lUl", "20", HEARD]]
CAPTIONS.append(["103550", "7fmO_lUl", "20", HEARD])
PLAIN = {"tokenizer": "python", "meteor": "false", "spice": "false"}
SEED = {"answer": "B", "question": "What?"} | {f"choice_{letter}": letter for letter in "abcd"}


def seed(dimension: int, data_id: str, **more: Any) -> Layout:
    question = {**SEED, "question_id": "v7", "question_type_id": dimension, "data_id": data_id, "data_type": "video"}
    files = {"SEED-Bench.json": {"questions": [question | more]}}
    folder = {10: "SSV2/videos", 11: "EPIC-KITCHENS/test", 12: "BreakfastII_15fps_qvga_sync"}[dimension]
    wanted, missing = f"'{data_id}'", "needed SEED-Bench.json"
    return Layout(files, f"{folder}/{data_id}", "video", "B", "What?" + LETTER, wanted, missing, ids=["v7"])


LAYOUTS = {
    "msvd_qa": Layout(MSVD, **MSVD_FILE),
    "msvd_qa_judge": Layout(MSVD, **MSVD_FILE, **JUDGED),
    "msrvtt_qa": Layout({"MSRVTT-QA/test_qa.json": XU}, **MSRVTT_FILE),
    "msrvtt_qa_judge": Layout({"MSRVTT-QA/test_qa.json": XU}, **MSRVTT_FILE, **JUDGED),
    "activitynet_qa": Layout(ACTIVITY, **ACTIVITY_FILE),
    "activitynet_qa_judge": Layout(ACTIVITY, **ACTIVITY_FILE, **JUDGED),
    "seedbench": seed(10, "94328.webm"),
    "audiocaps": Layout(
        {"dataset/test.csv": CAPTIONS},
        "test/7fmO_lUl.wav",
        "audio",
        HEARD,
        "Describe the sound in one sentence.",
        "'7fmO_lUl' or 'Y7fmO_lUl' or '7fmO_lUl_20' or '103549' or '103550' and .wav or .flac",
        "needed test.csv",
        PLAIN,
        ["7fmO_lUl"],
    ),
    "clotho": Layout(
        {
            "clotho_captions_evaluation.csv": [
                ["file_name", "caption_1", "caption_2"],
                ["Santa Motor.wav", HEARD, HEARD],
            ]
        },
        "clotho_audio_evaluation/evaluation/Santa Motor.wav",
        "audio",
        HEARD,
        "Describe the sound in one sentence.",
        "'Santa Motor.wav'",
        "needed clotho_captions_evaluation.csv",
        PLAIN,
        ["Santa Motor.wav"],
    ),
    "speech_recognition": Layout(
        {"LibriSpeech/test-clean/1089/134686/1089-134686.trans.txt": "1089-134686-0000 HE HOPED\n"},
        "LibriSpeech/test-clean/1089/134686/1089-134686-0000.flac",
        "audio",
        "He hoped.",
        "Transcribe the speech.",
        "'1089/134686/1089-134686-0000.flac'",
        r"needed \*.trans.txt",
        ids=["1089-134686-0000"],
    ),
    "modelnet40": Layout(
        {},
        "ModelNet40/night_stand/test/night_stand_0201.off",
        "points",
        "This is a night stand.",
        "What is this?",
        missing="no annotations of ModelNet40, zero-shot, needed .*off in it",
        ids=["night_stand_0201"],
    ),
}
OTHERS = {
    "msvd_qa": ["video/vid1301.avi", "1301.mp4"],
    "audiocaps": ["Y7fmO_lUl.wav", "audio/test/7fmO_lUl_20.flac", "103550.wav"],
    "activitynet_qa": ["1QIUV7W.webm"],
}
SEGMENTS = [
    (seed(11, "P03/P03_24.MP4", segment=[0.4, 0.8]), [4, 7]),
    (seed(12, "P06/cam01/P06_cereals.avi", segment=[3, 12]), [2, 7]),
    (seed(10, "94328.webm"), [0, 9]),
]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> System:
    """A system of tiny random parts that reads everything."""
    folder = tmp_path_factory.mktemp("parts")
    return system_of(folder, read_by(folder, "image", "video", "audio", "points"))


@pytest.fixture
def unpack(tmp_path: Path, write: Write) -> Callable[..., Path]:
    """Write a layout's files and its medium into a folder, as the official downloads would; give the folder."""

    def make(layout: Layout, medium: str | None = None) -> Path:
        for file, data in layout.files.items():
            write(f"data/{file}", data)
        path = tmp_path / "data" / (layout.medium if medium is None else medium or "notes.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        if medium != "":
            _write_medium(layout.modality, path)
        return tmp_path / "data"

    return make


def _write_medium(modality: str, path: Path) -> None:
    if modality == "video":
        film(path.with_suffix(".mkv"), numbered(10)).rename(path)
    elif modality == "audio":
        audio.write(audio.Sound(np.sin(np.arange(8000) / 9).astype(np.float32), 16_000), path)
    else:
        path.write_text(BOX.export(file_type="off"))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_tiny_model_is_asked_and_right_replies_earn_the_full_score(
    unpack: Callable[..., Path],
    reader: System,
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    layout = LAYOUTS[name]
    options = dict(layout.options)
    if name.endswith("_judge"):
        options["replies"] = str(write("judged.jsonl", [VERDICTS["judged.jsonl"][layout.ids[0] != "70"]]))
    dataset = open_dataset(name, unpack(layout), options=options)
    heard: list[Conversation] = []
    answer = runner.replies

    def listen(system: System, talks: list[Conversation], **given: Any) -> Any:
        heard.extend(talks)
        return answer(system, talks, **given)

    monkeypatch.setattr(runner, "replies", listen)
    evaluation = evaluate(reader, dataset, out=tmp_path / "out", max_new_tokens=2)
    assert evaluation.report is not None and evaluation.report.count == 1
    assert heard[0].turns[0].text == f"\n{layout.asked}"
    assert [medium.modality for _, medium in heard[0].media()] == [layout.modality]

    monkeypatch.setattr(runner, "replies", lambda system, talks, **given: [Completion(layout.reply) for _ in talks])
    report = evaluate(reader, dataset, out=tmp_path / "right").report
    assert report is not None
    # The word error rate of right words, and CIDEr of one caption, whose words BLEU judges here.
    full = {"speech_recognition": 0.0, "audiocaps": 1.0, "clotho": 1.0}.get(name, 100.0)
    assert report.metrics.get("Bleu_4", report.score) == pytest.approx(full)
    assert [item["id"] for item in report.as_dict(per_item=True)["items"]] == layout.ids


@pytest.mark.parametrize(("name", "medium"), [(name, medium) for name, media in OTHERS.items() for medium in media])
def test_other_official_names_of_a_file_are_known(unpack: Callable[..., Path], name: str, medium: str) -> None:
    layout = LAYOUTS[name]
    folder = unpack(layout, medium)
    ((prepared,), _) = open_dataset(name, folder).prepared_questions((layout.modality,))
    assert prepared.media == ((layout.modality, folder / medium),)


@pytest.mark.parametrize("name", [name for name, layout in LAYOUTS.items() if layout.wanted])
def test_a_missing_medium_is_told_with_its_names_and_its_folder(unpack: Callable[..., Path], name: str) -> None:
    layout = LAYOUTS[name]
    folder = unpack(layout, "")
    with pytest.raises(DataError, match=rf"1 of 1 questions show media that are not in {folder}.*{layout.wanted}"):
        open_dataset(name, folder).prepared_questions((layout.modality,))


@pytest.mark.parametrize("name", LAYOUTS)
def test_missing_annotations_are_told_with_their_name_and_their_folder(
    unpack: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    folder = unpack(Layout({}, "other.wav", "audio"))
    with pytest.raises(DataError, match=rf"{folder}.*{LAYOUTS[name].missing}"):
        open_dataset(name, folder)


def test_no_benchmark_about_other_media_than_images_is_left_out() -> None:
    rows = (row for row in catalogue() if row["data"].endswith("files by their names"))
    known = {row["name"] for row in rows if not row["data"].endswith("image files by their names")}
    assert known == LAYOUTS.keys() - {"seedbench"}


def test_answers_without_questions_name_the_file_that_is_missing(unpack: Callable[..., Path]) -> None:
    layout = LAYOUTS["activitynet_qa"]
    folder = unpack(Layout({"test_a.json": layout.files["dataset/test_a.json"]}, layout.medium))
    with pytest.raises(DataError, match=r"v_1QIUV7W_3: found no words to ask; needed test_q.json beside this file"):
        open_dataset("activitynet_qa", folder)


@pytest.mark.parametrize(("layout", "ends"), SEGMENTS)
def test_a_segment_of_a_video_is_shown_alone(unpack: Callable[..., Path], layout: Layout, ends: list[int]) -> None:
    ((prepared,), _) = open_dataset("seedbench", unpack(layout)).prepared_questions(("video",))
    ((_, medium),) = prepared.conversation().media()
    video = medium.source
    assert [int(np.asarray(frame)[0, 0, 0]) for frame in video.frames([0.0, video.duration_s - 0.01])] == ends


def test_what_is_asked_differs_by_the_segment(unpack: Callable[..., Path]) -> None:
    hashes = {
        open_dataset("seedbench", unpack(seed(11, "a.MP4", segment=[0.0, end]))).fingerprint for end in (0.5, 0.6, 0.6)
    }
    assert len(hashes) == 2


@pytest.mark.parametrize("segment", [[3.0], [4.0, 1.0], [-1.0, 2.0], "all", [0, None], [1.0, 2.0, 3.0]])
def test_a_segment_that_is_none(unpack: Callable[..., Path], segment: Any) -> None:
    with pytest.raises(DataError, match=r"SEED-Bench.json, questions 1: found .*needed"):
        open_dataset("seedbench", unpack(seed(11, "a.MP4", segment=segment)))


def test_splits_of_speech_are_not_mixed(unpack: Callable[..., Path], write: Write) -> None:
    folder = unpack(LAYOUTS["speech_recognition"])
    write("data/LibriSpeech/test-other/7/8/7-8.trans.txt", "7-8-0000 OTHER WORDS\n7-8-0001 MORE\n")
    with pytest.raises(
        DataError, match=r"several annotations of Speech recognition: .*test-clean, .*test-other; choose"
    ):
        open_dataset("librispeech", folder)
    assert [q.gold for q in open_dataset("asr", folder, split="other").questions] == ["OTHER WORDS", "MORE"]
    with pytest.raises(DataError, match="found no annotations of Speech recognition of the split 'dev'"):
        open_dataset("asr", folder, split="dev")
    with pytest.raises(DataError, match=r"1089: found no annotations of Speech recognition"):
        open_dataset("asr", folder / "LibriSpeech/test-clean/1089")


def test_an_utterance_without_words(unpack: Callable[..., Path]) -> None:
    folder = unpack(Layout({"s/1/2/1-2.trans.txt": "1-2-0000\n"}, "s/1/2/1-2-0000.flac", "audio"))
    with pytest.raises(DataError, match=r"1-2.trans.txt, line 1: found '1-2-0000', needed an id and its transcript"):
        open_dataset("librispeech", folder)


def test_shapes_of_a_split_and_of_known_classes_alone(unpack: Callable[..., Path]) -> None:
    folder = unpack(LAYOUTS["modelnet40"])
    unpack(LAYOUTS["modelnet40"], "ModelNet40/sofa/train/sofa_0001.off")
    assert [q.id for q in open_dataset("modelnet40", folder).questions] == ["night_stand_0201"]
    assert [q.gold for q in open_dataset("modelnet40", folder, split="train").questions] == ["sofa"]
    unpack(LAYOUTS["modelnet40"], "ModelNet40/hat/test/hat_0001.off")
    with pytest.raises(DataError, match="found the folder 'hat', needed one of ModelNet40's classes"):
        open_dataset("modelnet40", folder)


def test_a_mapping_of_videos_that_is_none(unpack: Callable[..., Path]) -> None:
    files = {"test_qa.json": XU, "youtube_mapping.txt": "a b vid1\n"}
    with pytest.raises(DataError, match=r"youtube_mapping.txt, line 1: found 'a b vid1', needed a name and a number"):
        open_dataset("msvd_qa", unpack(Layout(files, "vid1.avi")))
