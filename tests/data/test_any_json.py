"""Any value of JSON may stand anywhere in a record: it is a sample, or a line of the ledger, and never anything else."""

import io
import json
import tarfile
from itertools import islice

import pytest
from PIL import Image

from modalink import kinds
from modalink.data.loader import Loader
from modalink.data.prefetch import Bad
from modalink.errors import DataError, PromptError
from modalink.model.processing import ModalinkProcessor
from modalink.recipe import SystemSpec
from modalink.runs.ledger import Ledger
from modalink.testing.checkpoints import tiny_clip_vision, tiny_stable_diffusion
from modalink.testing.tokenizers import tiny_tokenizer
from tests.support.trees import mutants

DEEP = json.loads("[" * 90 + "]" * 90)
VALUES = [
    None, True, 0, -1, 1.5, float("nan"), 10**300, "", "text", "half \ud83d", "\udcff.png", "nul\0", "~\ud800/a", "data:,",
    "file:///etc", "x" * 5000, [], {}, [None], [{}], ["a", 1], {"bytes": "no base64"}, {"url": []}, {"type": {}}, DEEP,
]  # fmt: skip
IMAGE = {"type": "image", "image": "a.png", "caption": "a cube", "use": "read"}
TALK = [
    {"role": "system", "content": "Be kind."},
    {
        "role": "user",
        "content": [IMAGE, {"type": "image_url", "image_url": {"url": "a.png"}}, {"type": "text", "text": "?"}],
    },
    {"role": "assistant", "content": "A cube.", "loss": True},
]
SHAREGPT = [{"from": "human", "value": "<image>?"}, {"from": "gpt", "value": "A cube.", "weight": 1}]
RECORDS = {
    "messages blocks": ("messages", {"id": 1, "messages": TALK}),
    "messages column": (
        "messages",
        {"messages": [{"role": "user", "content": [{"type": "image"}]}, TALK[-1]], "images": ["a.png"]},
    ),
    "tools": (
        "messages",
        {
            "messages": [
                {"role": "user", "content": "<image>?"},
                {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "content": "a"},
            ],
            "tools": [{"name": "f"}],
            "image": {"path": "a.png"},
        },
    ),
    "alpaca": (
        "messages",
        {"instruction": "a", "input": "b", "output": "c", "history": [["a", "b"]], "system": "Be kind."},
    ),
    "completion": (
        "messages",
        {"prompt": [{"role": "user", "content": "a"}], "completion": "b", "images": []},
    ),
    "swift": ("messages", {"conversation": [{"human": "a <img>a.png</img>", "assistant": "b"}]}),
    "boxes": (
        "messages",
        {
            "messages": [{"role": "assistant", "content": "<ref-object><bbox>"}],
            "objects": {"ref": ["a"], "bbox": [[1, 2]]},
        },
    ),
    "llava": ("llava_json", {"id": "a", "conversations": SHAREGPT, "image": "a.png", "system": "Be kind."}),
    "obelics": ("interleaved", {"texts": ["a", None], "images": [None, "a.png"]}),
    "mmc4": (
        "interleaved",
        {"text_list": ["a", "b"], "image_info": [{"image_name": "a.png", "matched_text_index": 1}]},
    ),
    "document": ("interleaved", {"content": ["a", IMAGE]}),
    "text": ("text", {"text": "a cube"}),
    "text messages": ("text", {"messages": [{"role": "assistant", "content": "a"}]}),
    "text sharegpt": ("text", {"conversations": [{"from": "gpt", "value": "a"}]}),
    "captions": ("pairs", {"image": "a.png", "caption": "a cube"}),
}


REASONS = {
    "bad_boxes", "bad_messages", "bad_record", "bad_text", "media_count", "marker_count", "no_caption", "no_medium", "no_text",
    "prompt", "missing", "unreadable", "unsupported", "not_a_file", "bad_data_url", "empty", "remote", "not_an_image", "unknown_modality",
}  # fmt: skip


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    maker = {"kind": "stable_diffusion", "checkpoint": str(tiny_stable_diffusion(folder / "diffusion"))}
    projector = {"kind": "transformer", "width": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2}
    encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))}
    spec = {
        "inputs": {"image": {"encoder": encoder, "projector": {"kind": "linear"}}},
        "llm": {"checkpoint": "unused"},
        "prompt": {"template": "vicuna-v1.1"},
        "outputs": {"image": {"signal_tokens": 2, "projector": projector, "generator": maker}},
    }
    return ModalinkProcessor(tiny_tokenizer(), SystemSpec.model_validate(spec))


def drawn(processor, settings, count, folder):
    """Draw so many samples; what is bad stands in the ledger."""
    config = kinds.parse("modalink.data.sources", settings, key="source")
    ledger = Ledger(folder / "ledger.jsonl")
    loader = Loader([config], "concatenate", 0, processor.prepare, ledger, "skip", 1, workers=0)
    good = [batch[0].id for batch in islice(loader, count)]
    return good, list(ledger)


@pytest.mark.parametrize("name", RECORDS)
def test_any_value_at_any_place(name, processor, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    source, record = RECORDS[name]
    lines = [json.dumps(changed) for changed in (record, *mutants(record, VALUES))]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines) + "\n")
    settings = {"source": source, "path": str(path)}
    if source == "pairs":
        settings = {"source": source, "path": str(tmp_path), "captions": "a.jsonl"}
    source = kinds.parse("modalink.data.sources", settings, key="source").open()
    assert len(source) == len(lines)
    ledger, good = Ledger(tmp_path / "ledger.jsonl"), 0
    for index in range(len(source)):
        try:
            prepared = processor.prepare(source[index], max_tokens=200)
            good += len(prepared.input_ids) > 0
        except (DataError, PromptError) as error:
            bad = Bad.of(str(index), error)
            assert len(bad.detail) < 1000
            ledger.add(0, bad.sample, bad.reason, bad.detail)
    entries = list(ledger)
    assert good > 1 and len(entries) == len(lines) - good > len(VALUES) // 2
    assert {entry.reason for entry in entries} <= REASONS


def test_names_in_tar_shards_that_are_no_text(processor, photos, tmp_path):
    shard = tmp_path / "a.tar"
    with tarfile.open(shard, "w", encoding="utf-8", errors="surrogateescape") as archive:
        for name, content in {
            "a\udcff.jpg": (photos / "rocket.jpg").read_bytes(), "a\udcff.txt": b"a rocket",
            "b.jpg": (photos / "china.jpg").read_bytes(), "b.json": json.dumps({"caption": "half \ud83d"}).encode(),
            "c.jpg": (photos / "china.jpg").read_bytes(), "c.json": b'{"caption": {"a": 1}}',
        }.items():  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    good, entries = drawn(processor, {"source": "pairs", "path": str(shard), "direction": "both"}, 6, tmp_path)
    assert set(good) == {"a.tar/a\udcff#caption", "a.tar/a\udcff#draw"}
    assert {entry.reason for entry in entries} == {"no_caption"}
    assert any("half a surrogate pair" in entry.detail for entry in entries)


def test_reasons_are_counted_once_a_sample(processor, write_lines, tmp_path):
    said = {"messages": [{"role": "user", "content": [{"type": "image"}]}]}
    path = write_lines("a.jsonl", [{"id": i, **said} for i in range(5)] + [{"id": 5, "messages": 3}])
    with pytest.raises(DataError, match=r"all its 6 samples are bad; .* by reason: \{") as caught:
        drawn(processor, {"source": "messages", "path": str(path)}, 1, tmp_path)
    assert "'media_count': 5" in str(caught.value) and "'bad_messages': 1" in str(caught.value)


def test_a_long_text_is_cut_before_it_is_tokenised(processor, write_lines, tmp_path, monkeypatch):
    talk = [{"role": "user", "content": "a" * 60_000}, {"role": "assistant", "content": "b"}]
    answer = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b c " * 15_000}]
    path = write_lines("a.jsonl", [{"id": "question", "messages": talk}, {"id": "answer", "messages": answer}])
    seen = []
    encode = type(processor.tokenizer).__call__
    monkeypatch.setattr(
        type(processor.tokenizer), "__call__", lambda self, text, **k: seen.append(len(text)) or encode(self, text, **k)
    )
    source = kinds.parse("modalink.data.sources", {"source": "messages", "path": str(path)}, key="source").open()
    long = processor.prepare(source[1], max_tokens=128)
    assert len(long.input_ids) == 128 and long.cut > 0 and processor.tokenizer.eos_token_id not in long.labels
    assert max(seen) < 10_000
    whole = processor.prepare(source[1])
    assert (whole.input_ids[:128], whole.labels[:128]) == (long.input_ids, long.labels)
    assert set(processor.prepare(source[0], max_tokens=128).labels) == {-100}
