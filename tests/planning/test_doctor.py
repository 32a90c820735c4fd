import json

import pytest
from PIL import Image

from modalink.planning import examine
from modalink.recipe import load

BOTH_WAYS = """\
name: both-ways
inputs:
  image:
    encoder: {kind: vision, checkpoint: "zoo:vision", layer: -1}
    projector: {kind: mlp, layers: 2}
llm: {checkpoint: "zoo:llm", lora: {rank: 4, alpha: 8}}
prompt: {template: chatml}
outputs:
  image:
    signal_tokens: 8
    projector: {kind: transformer, width: 64, encoder_layers: 1, decoder_layers: 1, heads: 4, feed_forward: 64}
    generator: {kind: stable_diffusion, checkpoint: "zoo:diffusion"}
stages:
  - name: pretrain
    train: {inputs.image.projector: {lr: 1e-3}, outputs.image.projector: {lr: 1e-3}, llm.new_tokens: {lr: 1e-3}}
    objectives: [{kind: language}, {kind: align}, {kind: diffusion}]
    data: [{source: tiny_world, tasks: [caption, draw]}]
    batch: 8
    steps: 10
  - name: instruct
    train: {llm.lora: {lr: 1e-3}}
    objectives: [{kind: language}]
    data: [{source: tiny_world, tasks: [vqa]}]
    batch: 4
    steps: 10
"""


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory):
    """A file with a small recipe that reads and makes images."""
    file = tmp_path_factory.mktemp("recipe") / "both-ways.yaml"
    file.write_text(BOTH_WAYS)
    return file


@pytest.fixture(scope="module")
def found(both_ways):
    """What is found in it, by topic."""
    return {finding.topic: finding for finding in examine(load(both_ways))}


def test_what_will_be_evaluated_and_what_is_borrowed(both_ways, tmp_path):
    recipe = load(both_ways)
    data = [{"source": "tiny_world", "split": "validation", "count": 30, "tasks": ["vqa"]}]
    best = {"metric": "loss", "mode": "min"}
    sizes = {"name": "tiny_world", "split": "validation"}
    evaluate = {"every": 5, "data": data, "samples": 16, "benchmarks": [sizes], "keep_best": best}
    stage = recipe.stages[1].replace(evaluate=evaluate, init={"from": str(tmp_path / "absent")})
    found = {finding.topic: finding for finding in examine(recipe.replace(stages=[stage]))}
    assert found["evaluation instruct"].status == "ok"
    lines = found["evaluation instruct"].lines
    assert lines[0] == "every 5 steps, and after the last"
    assert lines[1].startswith("tiny_world validation: 30 conversations; first: ")
    assert lines[2:] == (
        "the loss of the same 16 of them each time, or of all if there are fewer",
        "benchmark tiny_world: questions of its own",
        "keeps the weights with the least loss",
    )
    assert found["init instruct"].status == "failed"
    assert "found neither a run nor" in found["init instruct"].lines[0]


def test_all_topics_are_examined_and_fine(found):
    assert list(found) == [
        "machine",
        "weights",
        "parts",
        "llm",
        "join",
        "widths",
        "tried",
        "prompt",
        *(f"{topic} {stage}" for stage in ("pretrain", "instruct") for topic in ("data", "sample", "batch")),
    ]
    assert {finding.status for finding in found.values()} <= {"ok", "warning"}


def test_parts_are_counted_and_who_trains_is_told(found):
    rows = {line.split()[0]: line.split() for line in found["parts"].lines}
    parts = [name for name in rows if "." in name or name == "llm"]
    counted = sum(int(rows[name][1].replace(",", "")) for name in parts)
    assert int(rows["all"][1].replace(",", "")) == counted
    assert rows["inputs.image.encoder"][3] == rows["outputs.image.generator"][3] == "frozen"
    assert rows["inputs.image.projector"][3] == "trained"


def test_widths_are_told_from_medium_to_medium(found):
    assert found["widths"].lines == (
        "image in: encoder 64 x 128, projector 64 x 128, LLM 128",
        "image out: 8 signal tokens x 128, projector 32 x 128, generator 32 x 128",
    )


def test_encoders_are_tried(found):
    assert found["tried"].lines == (
        "inputs.image.encoder: does at small size what it publishes (read as: form tokens, before 1)",
    )


def test_the_prompt_is_told_with_its_stop_signs(found):
    assert found["prompt"].lines == ("template chatml, stop at '<|im_end|>'",)


def test_a_batch_reaches_every_trained_group(both_ways, found):
    for stage in load(both_ways).stages:
        text = "\n".join(found[f"batch {stage.name}"].lines)
        for group in stage.train:
            assert f"\n{group}: gradient norm " in text
        for objective in stage.objectives:
            assert f"objective {objective.kind}: " in text


def test_what_is_found_does_not_depend_on_chance(both_ways, found):
    assert list(examine(load(both_ways))) == list(found.values())


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
        ("prompt.template=chatmll", "parts", "unknown prompt template 'chatmll'; did you mean 'chatml'?"),
        (
            "stages.0.data=[{source: pairs, path: nowhere}]",
            "data pretrain",
            "nowhere: looked for files ending with .tar",
        ),
        ("stages.0.max_tokens=3", "sample pretrain", "leaves no room for text within the maximum of 3"),
    ],
)
def test_what_fails_is_named(both_ways, override, topic, message):
    failed = [finding for finding in examine(load(both_ways, [override])) if finding.status == "failed"]
    assert failed[0].topic == topic
    assert message in failed[0].lines[-1]


def test_tokens_of_stages_with_smaller_images_are_told(both_ways):
    found = {finding.topic: finding for finding in examine(load(both_ways, ["stages.0.image_size={image: 32}"]))}
    assert "image in, stage pretrain, 32 px: encoder 16, projector 16" in found["widths"].lines
    assert "<image>x64\n" in found["sample instruct"].lines[1]
    assert found["batch pretrain"].status == found["batch instruct"].status == "ok"


def test_a_size_that_an_encoder_cannot_read_is_found(both_ways):
    found = {finding.topic: finding for finding in examine(load(both_ways, ["stages.0.image_size={image: 4}"]))}
    assert found["widths"].status == "failed"
    assert "image_size 4 of image: inputs.image.encoder: zoo:vision: this tower cannot" in found["widths"].lines[-1]
