"""`modalink evaluate` on benchmarks of made media: what it prints and writes, alone and beside another system."""

import json
import re
import shutil

import pytest

ENCODER = ("--option", "encoder=zoo:vision", "--option", "ask=false")


def test_it_makes_scores_and_tells_how_to_score_again(modalink, painter_run, coco):
    asked = ("evaluate", painter_run, "--benchmark", "coco_images", "--data", coco, *ENCODER, "--max-new-tokens", 6)
    result = modalink(*asked, "--limit", 4, "--batch", 2)
    assert result.exit_code == 0, result.stderr
    folder = painter_run / "evaluation" / "coco_images"
    assert "COCO captions to images: 2 of 4 made\nCOCO captions to images: 4 of 4 made" in result.stdout
    assert "COCO captions to images: features of real media: 0 of 4" in result.stdout
    assert (
        re.search(r"coco_images: \S+ distance   95 % interval", result.stdout) and f"answers: {folder}" in result.stdout
    )
    found = json.loads(modalink(*asked, "--limit", 4, "--json").stdout)
    (command,) = (line.split(maxsplit=1)[1] for line in result.stdout.splitlines() if line.startswith("again:"))
    again = json.loads(modalink(*command.split()[1:], "--json").stdout)
    assert again["metrics"] == found["metrics"] and found["metrics"]["media"] == 4
    assert found["intervals"]["wrong_or_missing_media"] == [0, 0]


def test_the_report_shows_what_was_made(modalink, run_with_recipe, coco):
    result = modalink("evaluate", run_with_recipe, "--benchmark", "coco_images", "--data", coco, *ENCODER, "--limit", 3)
    assert result.exit_code == 0, result.stderr
    page = (run_with_recipe / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") >= 3 and "coco_images" in page
    kept = json.loads((run_with_recipe / "evaluation" / "coco_images.json").read_text())
    assert kept["metrics"]["frechet_distance"] == kept["score"] and len(kept["examples"]) == 3


@pytest.fixture
def run_with_recipe(painter_run):
    """A run that has a report."""
    (painter_run / "recipe.yaml").write_text("name: painter\n", encoding="utf-8")
    return painter_run


def test_two_systems_side_by_side(modalink, painter_run, coco, clip, tmp_path):
    options = (*ENCODER, "--option", f"clip={clip}", "--data", coco, "--max-new-tokens", 6)
    other = tmp_path / "other"
    shutil.copytree(painter_run, other)
    asked = ("evaluate", other, "--benchmark", "coco_images", *options)
    assert modalink(*asked, "--prompt", "paint {question}").exit_code == 0
    result = modalink("evaluate", painter_run, "--benchmark", "coco_images", *options, "--against", other)
    assert result.exit_code == 0, result.stderr
    file = painter_run / "evaluation" / "coco_images" / "side-by-side.html"
    assert f"side by side {file}" in result.stdout and "against: " in result.stdout
    page = file.read_text(encoding="utf-8")
    assert "<script" not in page and not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count("data:image/png") == 12 and "<h1>painter and other</h1>" in page
    wins = [int(n) for n in re.search(r"is preferred for (\d+), other for (\d+), neither for (\d+)", page).groups()]
    assert sum(wins) == 6 and page.count(", preferred") == sum(wins[:2]) == page.count('class="preferred"')
    assert "clip_score" in page and "95 % interval" in page


def test_a_test_against_answers_in_words(modalink, run, tmp_path):
    rows = [{"img_path": "", "question": f"Q{n}?", "candidates": ["a", "b"], "correct_ans": "b"} for n in range(2)]
    from PIL import Image

    (tmp_path / "data").mkdir()
    for number, row in enumerate(rows):
        row["img_path"] = f"{number}.png"
        Image.new("RGB", (8, 8), (80 * number, 0, 0)).save(tmp_path / "data" / row["img_path"])
    (tmp_path / "data" / "llvisionqa_dev.json").write_text(json.dumps(rows))
    asked = ("evaluate", run, "--benchmark", "qbench", "--data", tmp_path / "data", "--max-new-tokens", 2)
    assert modalink(*asked, "--out", tmp_path / "a").exit_code == 0
    result = modalink(*asked, "--out", tmp_path / "b", "--against", tmp_path / "a")
    assert result.exit_code == 0, result.stderr
    assert "against: +0, 95 % interval +0 to +0, p = 1" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "found nobody to look at the media, needed --option encoder=CHECKPOINT"),
        (["--option", "encoder=zoo:vision", "--option", "steps=x"], 2, "steps: found 'x'"),
        (["--option", "encoder=zoo:vision", "--against", "nowhere"], 2, "--against: found no answers in nowhere"),
        (["--option", "encoder=zoo:vison"], 2, "zoo part"),
        (["--option", "encoder=zoo:vision", "--option", "real=nowhere"], 1, "needed a folder of media"),
        (["--benchmark", "audiocaps_sounds", "--option", "encoder=zoo:audio"], 1, "found no annotations"),
        (["--benchmark", "geneval"], 1, "needed evaluation_metadata.jsonl"),
    ],
)
def test_wrong_use(modalink, painter_run, coco, arguments, code, says):
    benchmark = () if "--benchmark" in arguments else ("--benchmark", "coco_images")
    result = modalink("evaluate", painter_run, *benchmark, "--data", coco, *arguments)
    assert result.exit_code == code and says in result.stderr and "Traceback" not in result.stderr
    assert not (painter_run / "evaluation").exists()


def test_a_system_of_words_makes_no_pictures(modalink, run, coco):
    result = modalink("evaluate", run, "--benchmark", "coco_images", "--data", coco, *ENCODER)
    assert result.exit_code == 2 and "it asks for image, and the system makes words alone" in result.stderr
