"""The model card says what the run's files say, and no more."""

import json

import yaml
from PIL import Image

from modalink.interop.export import export
from modalink.interop.options import ExportOptions
from modalink.training.train import train
from tests.support.little_recipes import read_by, recipe_of, record, write_records


def card_of(folder):
    _, matter, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(matter), text


def test_a_card_tells_lineage_licences_stages_data_and_results(tmp_path):
    Image.new("RGB", (32, 32), (9, 9, 200)).save(tmp_path / "0.png")
    asked = [{"type": "image", "path": "0.png"}, {"type": "text", "text": "What?"}]
    write_records(tmp_path, [record(str(n), asked, "a cube") for n in range(4)])
    recipe = recipe_of(tmp_path, read_by(tmp_path, "image"))
    (tmp_path / "vision/README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "llm/README.md").write_text("---\nlicense: llama2\n---\n")
    train(recipe, tmp_path / "run")
    results = {"score": 0.25, "questions": 8, "skipped": 2, "by": {"colour": 0.5}, "seed": 3, "counts": {"score": 8}}
    (tmp_path / "run/evaluation").mkdir(exist_ok=True)
    (tmp_path / "run/evaluation/vqa.json").write_text(json.dumps(results))
    export(tmp_path / "run", tmp_path / "out", options=ExportOptions(check=False))
    matter, text = card_of(tmp_path / "out")
    assert matter == {
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text",
        "license": "other",
        "license_name": "see-the-section-licences",
        "tags": ["modalink", "multimodal", "image"],
    }
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    for part in manifest["parts"]:
        assert part["part"] in text and (part.get("sha256") or "")[:12] in text
    assert "Read before use or release: llm (llm): llama2." in text
    assert "| learn | inputs.image.projector | language | messages data.jsonl | 2 | 8 |" in text
    assert "| vqa | score | 0.25 | 8 |" in text and "| vqa | questions | 8 |  |" in text
    assert "seed" not in text and "skipped" not in text and str(tmp_path) not in text


def test_a_system_without_a_run_says_so(make_reader, tmp_path):
    make_reader(tmp_path).save(tmp_path / "saved")
    export(tmp_path / "saved", tmp_path / "out", options=ExportOptions(check=False))
    matter, text = card_of(tmp_path / "out")
    assert text.count("Nothing of this is in the run.") == 2 and "base_model" not in matter
