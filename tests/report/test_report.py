"""Reports of run folders made by hand: their keys and ranges, and a page that holds together without a network."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from PIL import Image

from modalink.conversation import Medium, Text
from modalink.errors import CheckpointError
from modalink.evaluation.examples import of_reply
from modalink.evaluation.tiny_world import HeldOut, Share, Sizes
from modalink.evaluation.tiny_world.examples import Example
from modalink.evaluation.tiny_world.shares import Ratio
from modalink.inference import Completion
from modalink.inference.request import Made
from modalink.modalities.audio import Sound
from modalink.report import charts, view, write_report
from modalink.roles import Preview
from modalink.runs.results import write_results
from modalink.tiny_world.rendering import png_data_url

VOID = {"meta", "br", "img", "line", "polyline"}


class Page(HTMLParser):
    """Checks that every element is closed where it should be, and gathers ids, sources, links and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.ids, self.sources, self.classes, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.sources += [value for name, value in attrs if name in ("src", "href", "data", "action", "poster")]
        self.classes += found.get("class", "").split()
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing, line {self.getpos()[0]}"

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def run(tmp_path):
    """A run with two stages, of which the first skipped samples."""
    folder = tmp_path / "run"
    stages = [
        {
            "name": name,
            "train": {"inputs.image.projector": {"lr": 1e-3}},
            "objectives": [{"kind": "language"}],
            "batch": 4,
        }
        for name in ("pretrain", "instruct")
    ]
    folder.mkdir()
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": "little", "seed": 3, "stages": stages}))
    counts = {"inputs.image.encoder": 900, "inputs.image.projector": 60, "llm": 1000, "llm.lora": 40}
    rows = [
        {"group": name, "parameters": count, "trained": name == "inputs.image.projector"}
        for name, count in counts.items()
    ]
    later = [row | {"trained": row["group"] == "llm.lora"} for row in rows]
    part = {"part": "llm", "kind": "pretrained", "id": "zoo:llm", "sha256": "0123456789abcdef", "licence": "apache-2.0"}
    manifest = {
        "name": "little",
        "parts": [part],
        "licence": "permissive: fine",
        "stages": {"pretrain": rows, "instruct": later},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name in ("pretrain", "instruct"):
        (folder / name).mkdir()
        records = [
            {
                "step": i + 1,
                "losses": {"language": 2.0 / (i + 1)},
                "lr": {"inputs.image.projector": 1e-3},
                "samples": 4,
                "seconds": 0.5,
            }
            for i in range(40)
        ]
        (folder / name / "metrics.jsonl").write_text(
            "".join(json.dumps(r) + "\n" for r in records) + '{"step": 41, "los'
        )
    (folder / "pretrain" / "ledger.jsonl").write_text(
        '{"step": 0, "sample": "a", "reason": "truncated", "detail": ""}\n' * 2
        + '{"step": 3, "sample": "b", "reason": "cut_text", "detail": ""}\n'
    )
    return folder


@pytest.fixture
def heldout():
    picture = png_data_url(Image.new("RGB", (64, 64), "navy"))
    shares = {
        "vqa": Share(93, 100, 100),
        "vqa_by_kind.colour": Share(9, 10, 10),
        "vqa_by_kind.what is at": Share(10, 10, 10),
        "caption_attributes": Share(91, 100, 25),
        "caption_by_attribute.shape": Share(9, 10, 10),
        "drawn_objects": Share(86, 100, 50),
        "drawn_by_attribute.colour": Share(9, 10, 10),
        "baselines.majority": Share(30, 100, 100),
        "baselines.no_image": Share(28, 100, 100),
        "baselines.majority_by_kind.colour": Share(1, 10, 10),
        "baselines.text_encoder": Share(90, 100, 50),
        "robustness.clean": Share(90, 100, 100),
        "robustness.vqa.jpeg": Share(81, 100, 100),
        "robustness.vqa.larger_objects": Share(72, 100, 100),
        "robustness.kept.jpeg": Ratio(0.9, (0.84, 0.95), 100),
        "robustness.kept.larger_objects": Ratio(0.8, (0.73, 0.87), 100),
        "robustness.outside.pictures_answered": Share(10, 10, 10),
        "robustness.outside.questions_declined": Share(17, 20, 20),
        "robustness.inside_declined": Share(0, 100, 100),
    }
    chosen = [
        Example("question", "colour", picture, "what color is it?", "red", "red", True),
        Example("question", "colour", picture, "what color is it?", "<script>alert('x')</script>", "red", False),
        Example(
            "caption",
            "",
            picture,
            "describe this.",
            "a small red ring on the left",
            "a small red ring on the left",
            True,
        ),
        Example(
            "drawing", "", picture, "draw a ring", "here is a ring.", "a ring", False, "a small blue star on the left"
        ),
        Example("drawing", "", "", "draw a star", "no", "a star", False, "nothing"),
        Example(
            "renderer", "own", picture, "how many rings are there?", "one", "one", True, "the tiny world's own code"
        ),
        Example("renderer", "jpeg", picture, "how many rings are there?", "one", "one", True, "JPEG at quality 60"),
        Example("lost", "larger_objects", picture, "is the ring red?", "no", "yes", False, "every object larger"),
        Example("picture", "noise", picture, "describe the picture.", "a small red ring", "", True),
        Example("ood_question", "", "", "why is water wet?", "<b>red</b>", "i only know this.", False),
    ]
    return HeldOut(Sizes(), shares, chosen, 12.0).to_dict()


def test_json_has_the_agreed_keys_and_ranges(run, heldout):
    write_results(run, "tiny_world", heldout)
    found = json.loads(write_report(run).json.read_text())
    held = found["heldout"]
    shares = [held["caption_attributes"], held["vqa"], held["drawn_objects"], *held["vqa_by_kind"].values()]
    shares += [held["baselines"]["majority"], held["baselines"]["no_image"], found["trainable_share"]]
    assert all(isinstance(share, float) and 0 <= share <= 1 for share in shares)
    assert held["robustness"]["kept"] == {"jpeg": 0.9, "larger_objects": 0.8}
    assert held["robustness"]["inside_declined"] == 0.0
    assert held["vqa"] == 0.93 and held["counts"]["vqa"] == 100
    assert held["intervals"]["vqa"][0] < 0.93 < held["intervals"]["vqa"][1]
    assert found["training_seconds"] == 40.0
    assert found["trainable_share"] == pytest.approx(100 / 2000), "what learns in any stage counts once"
    assert [stage["steps"] for stage in found["stages"]] == [40, 40]
    assert found["stages"][0]["ledger"] == {"truncated": 2, "cut_text": 1}


def test_page_is_whole_and_shows_every_section(run, heldout):
    write_results(run, "tiny_world", heldout)
    page = Page(write_report(run).html.read_text())
    sections = {"headline", "seeing", "drawing", "kinds", "robustness", "outside", "learning", "parts", "ledger"}
    assert set(page.ids) == sections
    for words in (
        "little",
        "93.0",
        "91.0",
        "86.0",
        "most frequent answer",
        "what is at",
        "classifier sees a small blue star",
        "right: red",
    ):
        assert words in page.text, words
    for words in ("40 s", "zoo:llm", "apache-2.0", "5.0 %", "cut text", "no picture", "40 steps of 4 conversations"):
        assert words in page.text, words
    for words in ("larger objects", "JPEG at quality 60", "72.0 %", "73.0 % to 87.0 %", "why is water wet? <b>red</b>"):
        assert words in page.text, words
    assert page.classes.count("wrong") == 5
    assert page.classes.count("chart") == 4


def test_scores_of_benchmarks_stand_beside_the_world_s_own(run):
    scored = {"score": 50.0, "unit": "percent", "interval": [25.0, 75.0], "count": 4, "rule": "accuracy <exact>"}
    write_results(run, "qbench", scored)
    report = write_report(run)
    assert json.loads(report.json.read_text())["benchmarks"] == {"qbench": scored}
    page = Page(report.html.read_text())
    assert "benchmarks" in page.ids and "25 to 75" in page.text and "accuracy <exact>" in page.text


WAV = Preview("data:audio/wav;base64,UklGRg==", note="the first 10 of 14.0 s")


def shown_reply():
    """A reply with words, a sound, a picture, and a clip that could not be made."""
    picture = Image.new("RGB", (64, 64), "navy")
    content = (Text("First <b>"), Medium("image", picture), Medium("audio", Sound(np.zeros(80, np.float32), 8000)))
    made = (
        Made("image", picture, 1, None, 0, {}),
        Made("video", None, None, None, 0, {}, "conditions: found NaN or infinite numbers in 'tokens' of item 0"),
    )
    return of_reply(Completion("First <b>", content=content, made=made))


def test_replies_show_and_play_their_media_in_order_and_say_what_was_not_made(run, heldout):
    reply = shown_reply()
    example = Example("made", "audio", "", "make it", "First <b>", "a bell", None, made=tuple(reply)).to_dict()
    write_results(run, "tiny_world", heldout | {"examples": [*heldout["examples"], example]})
    scored = {"score": 50.0, "unit": "percent", "interval": None, "count": 1, "rule": "accuracy"}
    asked = [{"modality": "audio", "url": WAV.url, "note": WAV.note}, {"text": "What rings?"}]
    outside = {"modality": "image", "url": "https://a.b/c.png"}
    examples = [{"asked": asked, "reply": reply}, {"asked": [{"text": "Hm?"}], "reply": [outside]}]
    write_results(run, "qbench", scored | {"examples": examples})
    files = write_report(run)
    text = files.html.read_text()
    page = Page(text)
    assert "making" in page.ids and not re.search(r"https?://", text) and "<script" not in text
    kinds = [source.partition(";")[0].removeprefix("data:") for source in page.sources]
    assert all(source.startswith("data:") for source in page.sources)
    place = [number for number, kind in enumerate(kinds) if kind == "audio/wav"]
    assert len(place) == 3 and kinds[place[0] - 1] == "image/png", "the picture stands before the sound"
    assert [kinds[place[1] + 1], kinds[place[2] - 1]] == ["image/png", "image/png"]
    for words in ("First <b>", "video 2: conditions: found NaN or infinite numbers", "What rings?", WAV.note):
        assert words in page.text, words
    found = json.loads(files.json.read_text())
    assert found["benchmarks"] == {"qbench": scored} and "examples" not in found["heldout"]
    (made,) = found["examples"]["tiny_world"]
    assert (made["asked"], made["reply"]) == ("make it", "First <b>")
    facts = [(medium["modality"], medium["type"]) for medium in made["media"]]
    assert facts == [("image", "image/png"), ("audio", "audio/wav"), ("video", None)]
    assert made["media"][1]["bytes"] == pytest.approx(44 + 160, abs=2) and "NaN" in made["media"][2]["note"]
    assert "data:" not in files.json.read_text()


def test_page_needs_no_network_and_runs_nothing(run, heldout):
    write_results(run, "tiny_world", heldout)
    text = write_report(run).html.read_text()
    assert all(source.startswith("data:image/png;base64,") for source in Page(text).sources)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", text)
    assert "<script" not in text and "&lt;script&gt;" in text
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text


def test_an_evaluation_without_robustness_has_no_section_for_it(run, heldout):
    del heldout["robustness"]
    write_results(run, "tiny_world", heldout)
    assert not {"robustness", "outside"} & set(Page(write_report(run).html.read_text()).ids)


def test_a_run_without_evaluation_says_how_to_get_one(run):
    report = write_report(run)
    page = Page(report.html.read_text())
    assert "has not been evaluated" in page.text and "seeing" not in page.ids
    assert "heldout" not in json.loads(report.json.read_text())


def test_a_run_that_has_not_begun_still_has_a_page(run):
    for name in ("manifest.json", "pretrain/metrics.jsonl", "pretrain/ledger.jsonl", "instruct/metrics.jsonl"):
        (run / name).unlink()
    page = Page(write_report(run).html.read_text())
    assert "Not trained yet" in page.text and "no manifest" in page.text and "Nothing: the ledgers" in page.text


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"recipe\.yaml"):
        write_report(tmp_path)


class TestCharts:
    def test_smoothing_follows_a_constant_exactly_and_ignores_what_is_not_finite(self):
        points = [(float(i), float("nan") if i == 5 else 2.0) for i in range(90)]
        assert all(y == pytest.approx(2.0) for _, y in charts.smoothed(points))

    def test_long_curves_are_thinned_to_means(self):
        thin = charts.thinned([(float(i), float(i % 2)) for i in range(10_000)])
        assert len(thin) <= 240 and all(y == pytest.approx(0.5, abs=0.05) for _, y in thin)

    @pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [1e-9, 1.0], [-3.0, 4.0], [5.0, 5.0, 5.0]])
    def test_every_curve_stays_inside_its_frame(self, values):
        drawn = str(charts.loss_chart("x", [(float(i + 1), v) for i, v in enumerate(values)]))
        for points in re.findall(r'points="([^"]*)"', drawn):
            for x, y in (map(float, point.split(",")) for point in points.split()):
                assert 0 <= x <= 360 and 0 <= y <= 200

    def test_only_curves_that_may_get_a_logarithmic_axis(self):
        points = [(1.0, 1.0), (2.0, 1e-4)]
        plain, steep = (str(charts.line_chart("x", [charts.Series("x", points)], may_log=log)) for log in (False, True))
        assert ">0</text>" in plain and ">1e-4</text>" not in plain
        assert ">1e-4</text>" in steep

    def test_nothing_to_draw_draws_nothing(self):
        assert charts.loss_chart("x", [(1.0, float("nan"))]) == ""


@pytest.mark.parametrize(("seconds", "words"), [(4.4, "4 s"), (65.0, "1 min 5 s"), (3700.0, "1 h 1 min")])
def test_durations(seconds, words):
    assert view.duration(seconds) == words


def test_evaluations_inside_a_stage_are_a_curve_and_a_table(run):
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["stages"][0]["evaluate"] = {"every": 20, "keep_best": {"metric": "pope.score", "mode": "max"}}
    (run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    scores = [(20, 71.25), (40, 70.5)]
    lines = [{"step": step, "evaluation": {"loss": 2.0, "pope.score": score}} for step, score in scores]
    path = run / "pretrain" / "metrics.jsonl"
    whole = path.read_text().splitlines()[:40]
    path.write_text("".join(f"{line}\n" for line in [*whole, *map(json.dumps, lines)]))
    files = write_report(run)
    stage = json.loads(files.json.read_text())["stages"][0]
    assert stage["evaluations"]["pope.score"] == [[20, 71.25], [40, 70.5]]
    assert stage["best"] == {"step": 20, "value": 71.25}
    assert (stage["steps"], stage["seconds"]) == (40, 20.0)
    page = files.html.read_text()
    assert "pope.score, evaluated" in page and page.count("best, kept") == 1
    assert '71.25</td><td class="soft">best, kept' in page
