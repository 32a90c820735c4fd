"""Finding a benchmark's files in folders as people have them."""

from dataclasses import replace

import pytest

from modalink.errors import DataError, OptionError
from modalink.evaluation.layout import DataFolder, find_annotations, find_option_files
from modalink.scoring.benchmark import Setup
from modalink.scoring.registry import load

IMAGES = (".jpg", ".png")


@pytest.fixture
def folder(tmp_path):
    """A folder with empty files of some names."""

    def make(*names: str) -> DataFolder:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return DataFolder(tmp_path)

    return make


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a.jpg", "deep/down/a.jpg"),
        ("a", "images/a.jpg"),
        ("42", "val2014/COCO_val2014_000000000042.jpg"),
        ("42", "val2017/000000000042.jpg"),
        ("COCO_val2014_000000000042.jpg", "val2014/COCO_val2014_000000000042.jpg"),
        ("test/11/image.png", "images/test/11/image.png"),
        ("choose_txt/11/image.png", "iconqa/test/choose_txt/11/image.png"),
        ("artwork/1.jpg", "artwork/images/1.jpg"),
        ("train2014/a.jpg", "renamed/a.jpg"),
        ("454_2591", "SEED-Bench-image/454_2591"),
    ],
)
def test_a_medium_is_found_by_what_its_question_calls_it(folder, tmp_path, name, file):
    others = ("x/000000000043.jpg", "x/12/image.png", "x/test/12/image.png", "notes.txt")
    assert folder(file, *others).medium(name, IMAGES) == tmp_path / file


def test_folders_in_a_name_decide_between_files_of_one_name(folder, tmp_path):
    found = folder("images/train/1/image.png", "images/test/1/image.png", "existence/a.jpg", "count/a.jpg")
    assert found.medium("test/1/image.png", IMAGES) == tmp_path / "images/test/1/image.png"
    assert found.medium("count/a.jpg", IMAGES) == tmp_path / "count/a.jpg"
    with pytest.raises(DataError, match=r"several files that could be 'a.jpg': .*count/a.jpg, .*existence/a.jpg"):
        found.medium("a.jpg", IMAGES)


def test_what_is_not_there_is_none_and_text_beside_a_picture_is_not_it(folder):
    found = folder("a.txt", ".hidden/b.jpg")
    assert found.medium("a", IMAGES) is None
    assert found.medium("b.jpg", IMAGES) is None
    assert found.medium("7", IMAGES) is None


def test_annotations_are_found_by_their_official_names(folder, tmp_path):
    found = folder("vqa/v2_mscoco_val2014_annotations.json", "vqa/v2_OpenEnded_mscoco_val2014_questions.json")
    _, vqav2 = load("vqav2")
    assert find_annotations(vqav2, found) == tmp_path / "vqa/v2_mscoco_val2014_annotations.json"
    questions = {"questions": tmp_path / "vqa/v2_OpenEnded_mscoco_val2014_questions.json"}
    assert find_option_files(vqav2, found, {}) == questions
    assert find_option_files(vqav2, found, {"questions": "mine.json"}) == {}


def test_a_split_chooses(folder, tmp_path):
    names = [f"v2_mscoco_{split}2014_annotations.json" for split in ("train", "val")]
    questions = [f"v2_OpenEnded_mscoco_{split}2014_questions.json" for split in ("train", "val")]
    found, (_, vqav2) = folder(*names, *questions), load("vqav2")
    with pytest.raises(DataError, match=r"several annotations of VQAv2: .*train2014.*val2014.*--split"):
        find_annotations(vqav2, found)
    with pytest.raises(OptionError, match=r"several files v2_OpenEnded.*--split"):
        find_option_files(vqav2, found, {})
    assert find_annotations(vqav2, found, "val") == tmp_path / names[1]
    assert find_option_files(vqav2, found, {}, "val") == {"questions": tmp_path / questions[1]}
    with pytest.raises(DataError, match="of the split 'test', needed v2_mscoco"):
        find_annotations(vqav2, found, "test")


def test_files_that_belong_together_are_their_folder(folder, tmp_path):
    found, (_, pope) = folder(*(f"coco/coco_pope_{s}.json" for s in ("random", "popular"))), load("pope")
    assert find_annotations(pope, found) == tmp_path / "coco"
    assert find_annotations(pope, found, "popular") == tmp_path / "coco/coco_pope_popular.json"


def test_a_wrong_folder_says_what_is_looked_for(folder, tmp_path):
    with pytest.raises(DataError, match=r"no annotations of MM-Vet, needed mm-vet.json in it .*--annotations FILE"):
        find_annotations(load("mmvet")[1], folder("other.json"))
    with pytest.raises(DataError, match=r"needed \*.trans.txt in it .*--annotations FILE: LibriSpeech's folder"):
        find_annotations(load("speech_recognition")[1], folder())
    own = replace(load("mmvet")[1], title="A benchmark of a package", setup=Setup())
    with pytest.raises(DataError, match="A benchmark of a package has no official file to look for: needed --annot"):
        find_annotations(own, folder())
    with pytest.raises(DataError, match="no such folder"):
        DataFolder(tmp_path / "none")


@pytest.mark.parametrize("name", ["{}/secret.png", "../secret.png", "a/../../secret.png", "x" * 5000, "a\0b", ".", ""])
def test_annotations_do_not_lead_out_of_the_folder(folder, tmp_path, name):
    (tmp_path / "secret.png").touch()
    (tmp_path / "data").mkdir()
    assert DataFolder(tmp_path / "data").medium(name.format(tmp_path), IMAGES) is None
