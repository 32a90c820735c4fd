"""Real predictions with their official scores, where their folder lies beside the repository."""

import json
from pathlib import Path

import pytest

from modalink.scoring.metrics import java
from modalink.scoring.score import score

CASES = Path(__file__).parents[3] / "shared" / "scoring"

MME = {
    "perception": 963.6114446, "cognition": 249.6428571, "existence": 185.0, "count": 88.3333, "position": 63.3333,
    "color": 75.0, "posters": 79.5918, "celebrity": 47.3529, "scene": 136.75, "landmark": 93.5, "artwork": 87.25,
    "OCR": 107.5, "commonsense_reasoning": 87.142857, "numerical_calculation": 65.0, "text_translation": 47.5,
    "code_reasoning": 50.0,
}  # fmt: skip

if CASES.is_dir():

    def test_pope() -> None:
        folder = CASES / "pope"
        report = score("pope", folder / "llava15_13b_adversarial.jsonl", folder / "coco_pope_adversarial.json")
        counts = {"TP": 1182, "FP": 117, "TN": 1383, "FN": 318}
        ratios = {"accuracy": 0.855, "precision": 0.9099307, "recall": 0.788, "f1": 0.8445874, "yes_ratio": 0.433}
        assert counts.items() <= report.metrics.items()
        assert {name: report.metrics[name] for name in ratios} == pytest.approx(ratios, abs=1e-7)
        assert report.count == 3000 and report.score == report.metrics["f1"]

    def test_mme() -> None:
        report = score("mme", CASES / "mme_lavin")
        assert report.metrics == pytest.approx(MME, abs=1e-4) and report.count == 2374
        for part in ("perception", "cognition"):
            assert score(f"mme_{part}", CASES / "mme_lavin").score == pytest.approx(MME[part], abs=1e-6)

    def test_scienceqa() -> None:
        folder = CASES / "scienceqa"
        files = folder / "llava15_13b_predictions.jsonl", folder / "test_labels.jsonl"
        report = score("scienceqa", *files)
        assert (report.count, report.parse_failures) == (4241, 38)
        assert report.score == 100 * 3155 / 4241
        image = score("scienceqa_image", *files)
        assert image.score == report.metrics["image_accuracy"] == 100 * 1445 / 2017 and image.count == 2017

    @pytest.mark.parametrize("tokenizer", ["auto", "python"])
    @pytest.mark.parametrize("case", ["nlg_eval_example.json", "audiocaps_example_1.jsonl"])
    def test_captions(case: str, tokenizer: str) -> None:
        path = CASES / "captions" / case
        expected = json.loads((path.parent / "expected.json").read_text())[path.stem]
        options = {"tokenizer": tokenizer, "meteor": str(tokenizer == "auto"), "spice": "false"}
        report = score("coco_captions", path, options=options)
        if options["meteor"] == "False" or java.missing(java.METEOR):
            expected.pop("METEOR")
            assert any(note.startswith("METEOR left out") for note in report.notes)
        scores = {name: value for name, value in expected.items() if name in report.metrics}
        assert len(scores) >= 6
        assert {name: report.metrics[name] for name in scores} == pytest.approx(scores, abs=1e-6)
        assert report.count == expected.get("n", 2)
        assert ("14 captions are empty" in report.notes) == ("empty_predictions" in expected)
