import json

import pytest
from PIL import Image

from modalink.planning import examine
from modalink.recipe import load

SMALL = [f"stages.{i}.batch=8" for i in (0, 1)]


@pytest.fixture(scope="module")
def demo():
    """What is found in the recipe of the demo, by topic."""
    return {finding.topic: finding for finding in examine(load("demo", SMALL))}


def test_all_topics_are_examined_and_fine(demo):
    assert list(demo) == [
        "weights",
        "parts",
        "widths",
        "prompt",
        *(f"{topic} {stage.name}" for stage in load("demo").stages for topic in ("data", "sample", "batch")),
    ]
    assert {finding.status for finding in demo.values()} <= {"ok", "warning"}


def test_parts_are_counted_and_who_trains_is_told(demo):
    rows = {line.split()[0]: line.split() for line in demo["parts"].lines}
    parts = [name for name in rows if "." in name or name == "llm"]
    counted = sum(int(rows[name][1].replace(",", "")) for name in parts)
    assert int(rows["all"][1].replace(",", "")) == counted
    assert rows["inputs.image.encoder"][3] == rows["outputs.image.generator"][3] == "frozen"
    assert rows["inputs.image.projector"][3] == "trained"


def test_widths_are_told_from_medium_to_medium(demo):
    assert demo["widths"].lines == (
        "image in: encoder 64 x 128, projector 64 x 128, LLM 128",
        "image out: 8 signal tokens x 128, projector 32 x 128, generator 32 x 128",
    )


def test_the_prompt_is_told_with_its_stop_signs(demo):
    assert demo["prompt"].lines == ("template chatml, stop at '<|im_end|>'",)


def test_a_batch_reaches_every_trained_group(demo):
    for stage in load("demo").stages:
        text = "\n".join(demo[f"batch {stage.name}"].lines)
        for group in stage.train:
            assert f"\n{group}: gradient norm " in text
        for objective in stage.objectives:
            assert f"objective {objective.kind}: " in text


def test_what_is_found_does_not_depend_on_chance(demo):
    assert list(examine(load("demo", SMALL))) == list(demo.values())


@pytest.fixture
def photos(tmp_path):
    """LLaVA's format: one record without its picture, one whole."""
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    turns = [{"from": "human", "value": "<image>\nwhat do you see?"}, {"from": "gpt", "value": "a red wall"}]
    records = [{"id": name, "image": f"{name}.png", "conversations": turns} for name in ("gone", "red")]
    (tmp_path / "photos.json").write_text(json.dumps(records))
    return f"stages.0.data=[{{source: llava_json, path: {tmp_path / 'photos.json'}}}]"


def test_what_is_learned_stands_in_brackets(photos):
    found = {f.topic: f for f in examine(load("llava-1.5-7b", [photos, "stages.0.batch=2"], tiny=True))}
    assert found["sample pretrain"].lines[0].startswith("red: ")
    text = found["sample pretrain"].lines[1]
    assert "<image>x64" in text and "[[a red wall<|im_end|>]]" in text


def test_samples_that_cannot_be_read_are_counted(photos):
    found = {f.topic: f for f in examine(load("llava-1.5-7b", [photos, "stages.0.batch=2"], tiny=True))}
    batch = found["batch pretrain"]
    assert batch.status == "warning"
    assert batch.lines[-1].startswith("warning: ledger: ") and batch.lines[-1].endswith(" x missing")


def test_without_weights_sizes_are_still_known():
    found = {finding.topic: finding for finding in examine(load("llava-1.5-7b"))}
    assert found["weights"].status == "warning"
    assert found["weights"].lines[0].startswith("lmsys/vicuna-7b-v1.5: ")
    assert "stage pretrain trains 20,979,712 parameters, 0.30%" in found["parts"].lines
    assert found["data pretrain"].status == "failed"
    assert "batch pretrain" not in found


@pytest.mark.parametrize(
    ("override", "topic", "message"),
    [
        ("llm.lora.targets=[c_attn]", "parts", "no linear layer is called c_attn"),
        (
            "inputs.image.projector.join={tokens: 3}",
            "parts",
            "inputs.image.projector: join: found 64 tokens, needed a mult",
        ),
        ("prompt.template=chatlm", "parts", "unknown prompt template 'chatlm'; did you mean 'chatml'?"),
        (
            "stages.0.data=[{source: pairs, path: nowhere}]",
            "data pretrain",
            "nowhere: looked for files ending with .tar",
        ),
        ("stages.0.max_tokens=3", "sample pretrain", "leaves no room for text within the maximum of 3"),
    ],
)
def test_what_fails_is_named(override, topic, message):
    found = [
        f for f in examine(load("demo", ["stages.0.batch=4", "stages.1.batch=4", override])) if f.status == "failed"
    ]
    assert found[0].topic == topic
    assert message in found[0].lines[-1]
