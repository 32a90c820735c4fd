"""Judged replies in the formats that people have, each with a record as its set writes it."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from modalink import kinds
from modalink.conversation import Medium
from modalink.data import preference_formats
from modalink.data.preference import Preference
from modalink.errors import DataError, SampleError


def _picture(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


RED = {"bytes": {"base64": base64.b64encode(_picture()).decode()}}
MESSAGES = [{"role": "user", "content": "<image>What is it?"}, {"role": "assistant", "content": "A cube."}]
TURNS = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A cube."}]


def _rating(*numbers: Any) -> dict[str, Any]:
    aspects = ("Helpfulness", "Ethical Considerations", "Visual Faithfulness")
    return {name: {"Rating": str(n), "Rationale": "It is so."} for name, n in zip(aspects, numbers, strict=True)}


COMPLETIONS = [
    {"annotations": _rating(3, 5, 1), "model": "minigpt4", "response": "A ball."},
    {"annotations": _rating(5, 5, 5), "model": "gpt4v", "response": "A cube."},
    {"annotations": _rating("N/A", 5, 5), "model": "idefics9b", "response": "A hat."},
]
RECORDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "RLHF-V": (
        "rlhf_v",
        {
            "ds_name": "RLHF-V",
            "image": "a.png",
            "text": json.dumps({"question": "What is it?", "chosen": "A cube.", "rejected": "A ball."}),
            "origin_dataset": "COCO",
            "origin_split": json.dumps({"model": "Muffin", "type": "detailed_description"}),
            "idx": "0",
            "image_path": "folder/0.jpg",
        },
        "<image>What is it? | A cube. | A ball.",
    ),
    "RLAIF-V": (
        "rlhf_v",
        {
            "ds_name": "RLAIF-V",
            "image": "a.png",
            "question": "What is it?",
            "chosen": "A cube.",
            "rejected": "A ball.",
            "origin_dataset": "COCO",
            "origin_split": "{}",
            "idx": 0,
            "image_path": "0.jpg",
        },
        "<image>What is it? | A cube. | A ball.",
    ),
    "MMPR": (
        "rlhf_v",
        {"image": "a.png", "question": "<image>\nWhat is it?", "chosen": "A cube.", "rejected": "A ball."},
        "<image>\nWhat is it? | A cube. | A ball.",
    ),
    "LLaVA-Human-Preference": (
        "llava_human",
        {
            "id": "000",
            "image": "a.png",
            "conversations": TURNS[:1],
            "output_1": {"from": "llava", "value": "A ball."},
            "output_2": {"from": "llava", "value": "A cube."},
            "preference": 2,
        },
        "<image>\nWhat is it? | A cube. | A ball.",
    ),
    "POVID": (
        "povid",
        {
            "id": "1",
            "image": "a.png",
            "conversations": TURNS,
            "rejected_conversations": [TURNS[0], {"from": "gpt", "value": "A ball."}],
        },
        "<image>\nWhat is it? | A cube. | A ball.",
    ),
    "VLFeedback": (
        "vlfeedback",
        {"id": "v", "prompt": "What is it?", "image": "a.png", "models": ["minigpt4"], "completions": COMPLETIONS},
        "<image>What is it? | A cube. (5) | A ball. (3)",
    ),
    "VLFeedback, as datasets reads it": (
        "vlfeedback",
        {
            "prompt": "What is it?",
            "image": "a.png",
            "completions": {name: [one[name] for one in COMPLETIONS] for name in COMPLETIONS[0]},
        },
        "<image>What is it? | A cube. (5) | A ball. (3)",
    ),
    "Pick-a-Pic": (
        "pictures",
        {"caption": "a cube", "jpg_0": "b.png", "jpg_1": "a.png", "label_0": 0, "label_1": 1, "are_different": True},
        "a cube | <image> (1) | <image> (0)",
    ),
    "Audio-Alpaca": (
        "sounds",
        {
            "prompt": "a dog barks",
            "chosen": {"bytes": None, "path": "b.wav"},
            "rejected": "a.wav",
            "strategy": "temporal",
        },
        "a dog barks | <audio> | <audio>",
    ),
    "TRL, text": (
        "trl",
        {"prompt": "What is it?", "chosen": "A cube.", "rejected": "A ball."},
        "What is it? | A cube. | A ball.",
    ),
    "TRL, messages with pictures": (
        "trl",
        {
            "images": ["a.png"],
            "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}],
            "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "A cube."}]}],
            "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "A ball."}]}],
        },
        "<image>What is it? | A cube. | A ball.",
    ),
    "TRL, the prompt in both": (
        "trl",
        {
            "chosen": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "A cube."}],
            "rejected": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "A ball."}],
            "score_chosen": 8.0,
            "score_rejected": 2,
        },
        "What? | A cube. (8) | A ball. (2)",
    ),
    "TRL, unpaired": ("trl", {"prompt": "What?", "completion": "A ball.", "label": False}, "What? | A ball. [bad]"),
    "LLaMA-Factory, conversations": (
        "llama_factory",
        {
            "conversations": TURNS[:1],
            "chosen": {"from": "gpt", "value": "A cube."},
            "rejected": {"from": "gpt", "value": "A ball."},
            "images": ["a.png"],
        },
        "<image>\nWhat is it? | A cube. | A ball.",
    ),
    "LLaMA-Factory, instruction": (
        "llama_factory",
        {"instruction": "What is", "input": "it?", "chosen": "A cube.", "rejected": "A ball."},
        "What is\nit? | A cube. | A ball.",
    ),
    "LLaMA-Factory, tagged": (
        "llama_factory",
        {"messages": MESSAGES, "kto_tag": True, "images": ["a.png"]},
        "<image>What is it? | A cube. [good]",
    ),
    "ms-swift": (
        "ms_swift",
        {"messages": MESSAGES, "rejected_response": "A ball.", "images": ["a.png"]},
        "<image>What is it? | A cube. | A ball.",
    ),
    "ms-swift, several": (
        "ms_swift",
        {"messages": MESSAGES, "rejected_response": ["A ball.", "A hat."], "images": ["a.png"]},
        "<image>What is it? | A cube. | A ball. | A hat.",
    ),
    "ms-swift, messages": (
        "ms_swift",
        {
            "messages": MESSAGES,
            "rejected_messages": [MESSAGES[0], {"role": "assistant", "content": "A ball."}],
            "images": ["a.png"],
        },
        "<image>What is it? | A cube. | A ball.",
    ),
    "ms-swift, other pictures": (
        "ms_swift",
        {"messages": MESSAGES, "images": ["a.png"], "rejected_images": ["b.png"]},
        "<image>What is it? | A cube. | A cube. {b.png}",
    ),
    "ms-swift, judged": (
        "ms_swift",
        {"messages": MESSAGES, "label": False, "images": ["a.png"]},
        "<image>What is it? | A cube. [bad]",
    ),
}


@pytest.fixture
def opened(write, tmp_path: Path):
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        (tmp_path / name).write_bytes(_picture(colour))

    def make(*records: Any, **settings: Any):
        path = str(write("some.jsonl", [*records]))
        data = {"source": "preferences", "path": path, **settings}
        return kinds.parse("modalink.data.sources", data, key="source").open()

    return make


def _content(turns: Any) -> str:
    return "".join(f"<{p.modality}>" if isinstance(p, Medium) else p.text for turn in turns for p in turn.content)


def _told(preference: Preference) -> str:
    texts = [_content(preference.prompt)]
    for side in preference.sides:
        text = _content(side.reply)
        text += "" if side.score is None else f" ({side.score:g})"
        text += {True: " [good]", False: " [bad]", None: ""}[side.label]
        text += "" if side.media is None else " {" + ",".join(Path(m.source).name for m in side.media) + "}"
        texts.append(text)
    return " | ".join(texts)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_recognised_and_read_as_its_set_writes_it(opened, name: str, tmp_path: Path) -> None:
    format, record, told = RECORDS[name]
    assert preference_formats.recognise(record) == format
    preference = opened(record)[0]
    assert _told(preference) == told
    assert all(Path(m.source).parent == tmp_path for said, _ in preference.conversations() for _, m in said.media())


def test_columns_of_one_s_own_and_bytes_in_the_record(opened) -> None:
    record = {"frage": "What?", "besser": "A cube.", "schlechter": "A ball.", "bild": RED["bytes"]}
    columns = {"prompt": "frage", "chosen": "besser", "rejected": "schlechter", "image": "bild"}
    preference = opened(record, columns=columns, place="first")[0]
    assert _told(preference) == "<image>What? | A cube. | A ball."
    ((_, medium),) = preference.media()
    assert medium.source.startswith("data:")


@pytest.mark.parametrize(
    ("name", "changes", "reason", "words"),
    [
        ("TRL, text", {"rejected": ""}, "empty_reply", "reply 2 of 2 says nothing"),
        ("TRL, text", {"rejected": 3}, "bad_messages", "found 3 under 'rejected', needed text or messages"),
        ("RLHF-V", {"text": "{broken"}, "bad_record", "text "),
        ("LLaVA-Human-Preference", {"preference": 3}, "bad_record", "found the preference 3, needed 1 or 2"),
        ("POVID", {"rejected_conversations": TURNS[:1]}, "bad_record", "found 2 and 1 turns"),
        ("VLFeedback", {"completions": COMPLETIONS[1:]}, "no_difference", "all its 1 rated completions"),
        ("Pick-a-Pic", {"label_0": 0.5}, "no_difference", "none of its two pictures is preferred"),
        ("Pick-a-Pic", {"label_0": "a"}, "bad_record", "needed a share from 0 to 1"),
        ("LLaMA-Factory, tagged", {"kto_tag": "yes"}, "bad_record", "found the kto_tag 'yes'"),
        ("ms-swift, other pictures", {"rejected_images": []}, "bad_record", "fits no format of preferences"),
        ("ms-swift", {"images": []}, "marker_count", "found 1 <image> markers and 0 image paths"),
    ],
)
def test_a_bad_record_says_what_is_wrong(opened, name: str, changes: dict[str, Any], reason: str, words: str) -> None:
    good = RECORDS[name][1]
    source = opened(good, good | changes)
    with pytest.raises(SampleError) as caught:
        source[1]
    assert caught.value.reason == reason
    assert words in str(caught.value)


def test_what_is_no_preference_is_refused_with_what_it_looks_like(opened) -> None:
    with pytest.raises(DataError, match=r"looks like TRL's prompts and completions: write"):
        opened({"prompt": "What?", "completion": "A cube."})
    with pytest.raises(ValueError, match="unknown format of preferences 'tlr'; did you mean 'trl'"):
        opened(RECORDS["TRL, text"][1], format="tlr")
    with pytest.raises(ValueError, match="replies that are judged are learned whole"):
        opened(RECORDS["TRL, text"][1], prefix=True)


def test_facts_are_columns_and_captions_of_the_pictures(tmp_path: Path) -> None:
    rows = [
        {
            "question": "What?",
            "chosen": "A cube.",
            "rejected": "A ball.",
            "image": f"{folder}/1.png",
            "labels": ["cube"],
        }
        for folder in ("one", "two")
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    told = {"1.png": "a cube", "two/1.png": ["a red cube", "one thing"], "red/one/1.png": ["not this one"]}
    (tmp_path / "captions.json").write_text(json.dumps(told))
    settings = {"source": "preferences", "path": str(tmp_path / "a.json"), "facts": {"objects": "labels"}}
    source = kinds.parse(
        "modalink.data.sources", settings | {"captions": str(tmp_path / "captions.json")}, key="source"
    ).open()
    assert [source[n].facts for n in (0, 1)] == [
        {"objects": ["cube"], "captions": ["a cube"]},
        {"objects": ["cube"], "captions": ["a red cube", "one thing"]},
    ]
    assert [said.facts for said, _ in source[0].conversations()] == [source[0].facts] * 2
    with pytest.raises(SampleError, match="found no column 'answer', which `facts` names"):
        kinds.parse("modalink.data.sources", settings | {"facts": {"answer": "answer"}}, key="source").open()[0]
    with pytest.raises(DataError, match=r"absent\.json: "):
        kinds.parse(
            "modalink.data.sources", settings | {"captions": str(tmp_path / "absent.json")}, key="source"
        ).open()
    (tmp_path / "odd.json").write_text("[1]")
    with pytest.raises(DataError, match=r"odd\.json: "):
        kinds.parse("modalink.data.sources", settings | {"captions": str(tmp_path / "odd.json")}, key="source").open()
