"""What a model is asked: benchmarks opened from their official files."""

import base64
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from modalink.errors import DataError, OptionError, UnknownNameError
from modalink.evaluation.dataset import open_dataset
from modalink.scoring.registry import load, names


@pytest.fixture
def picture(tmp_path):
    """Write a small picture under a name."""

    def to(name: str) -> Path:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(tmp_path / name)
        return tmp_path / name

    return to


def test_questions_and_pictures_of_separate_official_files_meet(write, picture, tmp_path):
    answers = [{"answer": "red"}] * 10
    rows = [{"question_id": n, "image_id": 40 + n, "answers": answers} for n in (1, 2)]
    write("v2_mscoco_val2014_annotations.json", {"info": {}, "annotations": rows})
    asked = [{"question_id": n, "image_id": 40 + n, "question": f"What {n}?"} for n in (2, 1)]
    write("v2_OpenEnded_mscoco_val2014_questions.json", {"questions": asked})
    files = [picture(f"val2014/COCO_val2014_0000000000{n}.jpg") for n in (41, 42)]
    prepared_questions, missing = open_dataset("vqav2", tmp_path).prepared_questions(("image",))
    assert [prepared.id for prepared in prepared_questions] == ["1", "2"] and not missing
    assert prepared_questions[0].prompt == "What 1?\nAnswer the question using a single word or phrase."
    assert [prepared.media for prepared in prepared_questions] == [(("image", files[0]),), (("image", files[1]),)]
    (turn,) = prepared_questions[0].conversation().turns
    assert turn.text == f"\n{prepared_questions[0].prompt}" and turn.content[0].source.size == (4, 4)


def test_mmbench_shows_the_pictures_of_its_table(write, tmp_path):
    data = BytesIO()
    Image.new("RGB", (5, 3), "blue").save(data, "PNG")
    header = ["index", "question", "hint", "A", "B", "answer", "category", "image"]
    rows = [[3, "Which?", "Look.", "x", "y", "A", "c", base64.b64encode(data.getvalue()).decode()]]
    rows.append([1_000_003, "Which?", "", "y", "x", "B", "c", "3"])
    write("mmbench_dev_20230712.tsv", [header, *rows])
    first, rolled = open_dataset("mmbench", tmp_path).prepared_questions(("image",))[0]
    assert first.prompt == "Look.\nWhich?\nA. x\nB. y\nAnswer with the option's letter from the given choices directly."
    assert [prepared.conversation().turns[0].content[0].source.size for prepared in (first, rolled)] == [(5, 3), (5, 3)]


def test_scienceqa_asks_in_words_where_there_is_no_picture(write, picture, tmp_path):
    common = {"question": "Why?", "choices": ["a", "b"], "answer": 0, "split": "test"}
    write("problems.json", {"7": {**common, "image": "image.png"}, "8": {**common, "image": None}})
    file = picture("images/test/7/image.png")
    picture("images/train/7/image.png")
    prepared_questions, _ = open_dataset("scienceqa", tmp_path).prepared_questions(("image",))
    assert [prepared.media for prepared in prepared_questions] == [(("image", file),), ()]
    assert prepared_questions[1].conversation().turns[0].text.startswith("Why?\nA. a")
    only, _ = open_dataset("scienceqa_image", tmp_path).prepared_questions(("image",))
    assert [prepared.id for prepared in only] == ["7"]


def test_iconqa_shows_options_that_are_pictures(write, picture, tmp_path):
    problem = {"question": "Same?", "choices": ["choice_0.png", "choice_1.png"], "answer": 1, "ques_type": "choose_img"}
    write("problems.json", {"5": problem, "6": {**problem, "choices": ["x", "y"], "ques_type": "choose_txt"}})
    for name in ("choose_img/5/image", "choose_img/5/choice_0", "choose_img/5/choice_1", "choose_txt/6/image"):
        picture(f"iconqa/test/{name}.png")
    pictures, words = open_dataset("iconqa", tmp_path).prepared_questions(("image",))[0]
    assert [source.name for _, source in pictures.media] == ["image.png", "choice_0.png", "choice_1.png"]
    assert "A. picture 2\nB. picture 3" in pictures.prompt
    assert len(words.media) == 1 and "A. x" in words.prompt


def test_captions_find_their_files_in_cocos_list_of_images(write, picture, tmp_path):
    images = [{"id": 9, "file_name": "nine.jpg"}]
    rows = [{"image_id": 9, "caption": "a"}, {"image_id": 9, "caption": "b"}]
    write("captions_val2014.json", {"images": images, "annotations": rows})
    file = picture("val2014/nine.jpg")
    (prepared,), _ = open_dataset("coco_captions", tmp_path).prepared_questions(("image",))
    assert prepared.media == (("image", file),)
    assert prepared.prompt == "Provide a one-sentence caption for the provided image."


def test_missing_pictures_are_named_or_left_out(write, picture, tmp_path):
    rows = [{"image": f"{n}.jpg", "question": "What?", "answers": ["a"] * 10} for n in range(3)]
    write("val.json", rows)
    picture("1.jpg")
    dataset = open_dataset("vizwiz", tmp_path)
    with pytest.raises(
        DataError, match=r"2 of 3 questions show media that are not in .*question 0.jpg: no file for '0.jpg'.*--partial"
    ):
        dataset.prepared_questions(("image",))
    prepared_questions, missing = dataset.prepared_questions(("image",), partial=True)
    assert [prepared.id for prepared in prepared_questions] == ["1.jpg"]
    assert [skipped.id for skipped in missing] == ["0.jpg", "2.jpg"]
    with pytest.raises(DataError, match="1 of 1 questions"):
        dataset.prepared_questions(("image",), limit=1, partial=True)


def test_a_model_must_read_what_the_questions_are_about(write, tmp_path):
    write("test_qa.json", [{"id": 0, "question": "who", "answer": "man", "video_id": 1}])
    with pytest.raises(DataError, match=r"MSVD-QA, question 0: it is about video, and the model reads image"):
        open_dataset("msvd_qa", tmp_path).prepared_questions(("image",))
    seed = {"question": "?", "answer": "A", "data_id": "v", **{f"choice_{c}": c for c in "abcd"}}
    write("SEED-Bench.json", {"questions": [{**seed, "question_id": "1", "question_type_id": 10}]})
    with pytest.raises(DataError, match="about video"):
        open_dataset("seedbench", tmp_path).prepared_questions(("image",))


def test_questions_that_cannot_be_asked_are_named(write, tmp_path):
    rows = [{"question_id": 1, "image_id": 1, "answers": ["a"]}]
    write("v2_mscoco_val2014_annotations.json", {"annotations": rows})
    with pytest.raises(
        DataError, match=r"question 1: found no words to ask; --option questions=FILE, officially v2_Op"
    ):
        open_dataset("vqav2", tmp_path)
    write("val.json", [{"image": "a.jpg", "question": "?", "answers": ["a"]}] * 2)
    with pytest.raises(DataError, match=r"question a.jpg: found twice"):
        open_dataset("vizwiz", tmp_path)
    write("mm-vet.json", {"v1_0": {"question": "?", "answer": "a"}})
    with pytest.raises(DataError, match="question v1_0: names no image to show"):
        open_dataset("mmvet", tmp_path)


def test_a_split_is_an_option_where_the_benchmark_has_one(write, picture, tmp_path):
    common = {"question": "Why?", "choices": ["a", "b"], "answer": 0}
    write("problems.json", {"7": {**common, "split": "val"}, "8": {**common, "split": "test"}})
    assert [prepared.id for prepared in open_dataset("scienceqa", tmp_path, split="val").prepared_questions(())[0]] == [
        "7"
    ]


def test_another_prompt_replaces_the_benchmarks(write, tmp_path):
    write("problems.json", {"7": {"question": "Why?", "choices": ["a", "b"], "answer": 0, "split": "test"}})
    (prepared,), _ = open_dataset("scienceqa", tmp_path, prompt="Q: {question}\n{options}\nA:").prepared_questions(())
    assert prepared.prompt == "Q: Why?\nA. a\nB. b\nA:"
    for prompt, says in (
        ("{queston} {options}", r"found \{queston\} in it"),
        ("Why not?", "found 'Why not\\?', needed"),
    ):
        with pytest.raises(OptionError, match=says):
            open_dataset("scienceqa", tmp_path, prompt=prompt)


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("fid", OptionError, "FID asks a model no questions: it takes the generated images"),
        ("vizwiz_answerability", OptionError, "takes the probability that a photograph can answer"),
        ("vqav2", OptionError, "VQAv2: needed --data FOLDER with its media and v2_mscoco"),
        ("modelnet40", OptionError, r"needed --data FOLDER with its media and \*_"),
        ("vqa2", UnknownNameError, "did you mean 'vqav2'"),
    ],
)
def test_wrong_use_is_told(name, error, says):
    with pytest.raises(error, match=says):
        open_dataset(name)


def test_the_tiny_world_needs_no_folder():
    prepared_questions, _ = open_dataset("tiny-world", options={"count": 9}).prepared_questions(("image",))
    assert [prepared.id for prepared in prepared_questions] == [f"test/0/{n}" for n in range(9)]
    assert prepared_questions[0].conversation().turns[0].content[0].source.size == (64, 64)


@pytest.mark.parametrize("name", names())
def test_every_benchmark_has_official_files_or_says_what_else(name):
    _, benchmark = load(name)
    setup = getattr(benchmark, "setup", None)
    with pytest.raises((OptionError, DataError)) if not (setup and setup.generated) else nullcontext():
        open_dataset(name)
    if setup and not setup.why_not_asked and not setup.generated:
        assert setup.files or setup.modality in ("audio", "points")
