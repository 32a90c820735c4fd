"""Captions and drawings from a table, from texts beside the media, and from tar shards."""

import csv
import gzip
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from modalink import modalities
from modalink.conversation import Medium, Text
from modalink.data.sources.pairs import PairsConfig
from modalink.errors import DataError, SampleError

CAPTIONS = {"astronaut.png": "an astronaut", "coffee.png": "a cup of coffee, hot", "china.jpg": "a temple"}


@pytest.fixture
def table(photos):
    with open(photos / "captions.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        rows.writerows(CAPTIONS.items())
    return photos


def content(conversation):
    return [(turn.role, turn.content) for turn in conversation.turns]


def test_a_caption_answers_a_request_about_the_photo(table):
    source = PairsConfig(path=str(table), captions="captions.csv").open()
    assert len(source) == 3
    (user, asked), (assistant, said) = content(source[1])
    assert (user, assistant) == ("user", "assistant")
    assert asked[0] == Medium("image", str(table / "coffee.png"))
    assert asked[1].text.startswith("\n") and "image" in asked[1].text and "{" not in asked[1].text
    assert said == (Text("a cup of coffee, hot"),)
    assert modalities.get("image").read(asked[0].source).size == (600, 400)
    assert source[1].id == f"{table / 'captions.csv'}, row 2"


def test_drawing_asks_with_the_caption_and_answers_with_the_photo(table):
    source = PairsConfig(path=str(table), captions="captions.csv", direction="draw").open()
    (_, asked), (_, drawn) = content(source[1])
    assert len(asked) == 1 and asked[0].text.endswith("a cup of coffee, hot")
    assert drawn == (Medium("image", str(table / "coffee.png"), "a cup of coffee, hot"),)


def test_both_directions_make_two_samples_of_a_pair(table):
    source = PairsConfig(path=str(table), captions="captions.csv", direction="both").open()
    assert len(source) == 6
    assert [source[i].id.rpartition("#")[2] for i in range(6)] == ["caption", "draw"] * 3
    assert isinstance(source[4].turns[0].content[0], Medium)
    assert isinstance(source[5].turns[1].content[0], Medium)
    assert len({source[i].id for i in range(6)}) == 6


def test_the_seed_chooses_among_the_prompts(write_lines):
    records = [{"image": f"{i}.png", "caption": f"number {i}"} for i in range(300)]
    path = write_lines("c.jsonl", records)
    prompts = ("a?", "b?", "c?")

    def chosen(seed):
        source = PairsConfig(path=str(path.parent), captions="c.jsonl", prompts=prompts, seed=seed).open()
        return [source[i].turns[0].text.strip() for i in range(300)]

    assert chosen(0) == chosen(0) != chosen(1)
    assert all(70 < chosen(0).count(prompt) < 130 for prompt in prompts)


def test_requests_are_filled_in_as_they_stand(write_lines):
    path = write_lines("c.jsonl", [{"image": "a.png", "caption": "a {modality} of {braces}"}])
    config = PairsConfig(path=str(path.parent), captions="c.jsonl", direction="draw", requests=("Paint: {caption}!",))
    assert config.open()[0].turns[0].text == "Paint: a {modality} of {braces}!"


def test_requests_and_column_are_those_of_the_modality(write_lines, depth):
    path = write_lines("c.jsonl", [{"depth": "a.npy", "caption": "a wall"}])
    described, drawn = PairsConfig(path=str(path.parent), captions="c.jsonl", modality="depth", direction="both").open()
    assert described.turns[0].content == (Medium("depth", str(path.parent / "a.npy")), Text("\nHow far is it?"))
    assert drawn.turns[0].text in [text.format(modality="depth", caption="a wall") for text in depth.make]


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl", ".json", ".parquet"])
def test_tables_of_every_format_and_own_columns(tmp_path, suffix):
    import datasets

    rows = [{"id": f"n{i}", "file": f"sub/{i}.png", "words": f"words {i}"} for i in range(2)]
    path = tmp_path / f"c{suffix}"
    if suffix == ".parquet":
        datasets.Dataset.from_list(rows).to_parquet(path)
    elif suffix == ".tsv":
        path.write_text("id\tfile\twords\n" + "".join("\t".join(row.values()) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows) if suffix == ".json" else "".join(json.dumps(row) + "\n" for row in rows))
    source = PairsConfig(path="/data", captions=str(path), media_column="file", caption_column="words").open()
    assert source[1].id == "n1"
    assert source[1].turns[0].content[0].source == "/data/sub/1.png"
    assert source[1].turns[1].text == "words 1"


def test_photos_inside_a_parquet_table(tmp_path, photos):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    row = {"image": {"bytes": (photos / "rocket.jpg").read_bytes(), "path": None}, "caption": "a rocket"}
    datasets.Dataset.from_list([row], features=features).to_parquet(tmp_path / "c.parquet")
    medium = PairsConfig(path=str(tmp_path), captions="c.parquet").open()[0].turns[0].content[0]
    assert modalities.get("image").read(medium.source).size == (640, 427)


def test_texts_beside_the_photos(photos):
    (photos / "deep").mkdir()
    (photos / "rocket.jpg").rename(photos / "deep" / "rocket.jpg")
    for name in ("astronaut", "china", "deep/rocket", "flower"):
        (photos / f"{name}.txt").write_text(f" the {name}\n")
    source = PairsConfig(path=str(photos)).open()
    found = {}
    for i in range(len(source)):
        try:
            found[source[i].id] = source[i].turns[1].text
        except SampleError as error:
            found[error.name] = error.reason
    assert found == {
        "astronaut.png": "the astronaut", "china.jpg": "the china", "coffee.png": "no_caption",
        "deep/rocket.jpg": "the deep/rocket", "flower.jpg": "the flower",
    }  # fmt: skip
    assert list(found) == sorted(found)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"a \xff", "can't decode byte 0xff"),
        (b"a" * (2**20 + 1), "more than 1,048,576 bytes"),
        (None, "cannot be read"),
    ],
)
def test_a_text_beside_a_photo_that_is_none(photos, content, cause):
    beside = photos / "astronaut.txt"
    beside.mkdir() if content is None else beside.write_bytes(content)
    with pytest.raises(SampleError, match=f"its caption astronaut.txt cannot be read beside it: .*{cause}"):
        PairsConfig(path=str(photos)).open()[0]


@pytest.mark.parametrize(
    ("record", "reason", "message"),
    [
        ({"image": "a.png"}, "no_caption", "found nothing under 'caption' among the columns image"),
        ({"image": "a.png", "caption": "  "}, "no_caption", "found the caption '  ', needed text"),
        ({"image": "a.png", "caption": 3}, "no_caption", "found the caption 3, needed text"),
        ({"caption": "x"}, "no_medium", "found nothing under 'image' among the columns caption"),
        ({"image": None, "caption": "x"}, "no_medium", "found nothing under 'image'"),
    ],
)
def test_half_a_pair_is_a_bad_sample(write_lines, record, reason, message):
    path = write_lines("c.jsonl", [record])
    with pytest.raises(SampleError, match=message) as caught:
        PairsConfig(path=str(path.parent), captions="c.jsonl").open()[0]
    assert caught.value.reason == reason


# Shards


def add(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def photo(value):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in (1, 0):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for i in range(3):
                number = 3 * shard + i
                add(archive, f"part.a/{number:03d}.PNG", photo(number))
                if number % 2:
                    add(archive, f"part.a/{number:03d}.txt", f"photo {number}\n".encode())
                else:
                    add(archive, f"part.a/{number:03d}.json", json.dumps({"caption": f"photo {number}"}).encode())
    return folder


@pytest.mark.parametrize("pattern", ["", "*.tar", "0000?.tar"])
def test_shards_are_read_in_order_at_random(shards, pattern):
    source = PairsConfig(path=str(shards / pattern)).open()
    assert len(source) == 6
    for i in (5, 0, 3, 3, 2):
        assert source[i].id == f"0000{i // 3}.tar/part.a/{i:03d}"
        assert source[i].turns[1].text == f"photo {i}"
        pixels = np.asarray(modalities.get("image").read(source[i].turns[0].content[0].source))
        assert pixels[0, 0].tolist() == [i, 0, 0]


def test_one_shard(shards):
    assert len(PairsConfig(path=str(shards / "00001.tar")).open()) == 3


def test_samples_of_a_shard_that_lack_a_half(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "0.png", photo(0))
        add(archive, "1.txt", b"only words")
        add(archive, "2.png", photo(0))
        add(archive, "2.json", b"{broken")
        add(archive, "3.png", photo(0))
        add(archive, "3.txt", b"\xff\xfe")
        add(archive, "4.png", photo(0))
        add(archive, "4.json", b'["no mapping"]')
    source = PairsConfig(path=str(tmp_path)).open()
    reasons = []
    for i in range(5):
        with pytest.raises(SampleError) as caught:
            source[i]
        assert caught.value.name == f"a.tar/{i}"
        reasons.append(caught.value.reason)
    assert reasons == ["no_caption", "no_medium", "no_caption", "no_caption", "no_caption"]


def test_a_broken_shard_is_named(shards):
    whole = (shards / "00000.tar").read_bytes()
    for broken in (
        whole[:1500],
        whole[:1030],
        whole[:1024] + b"x" * 512,
        whole[:600],
        b"no tar at all" * 100,
        gzip.compress(whole),
    ):
        (shards / "00000.tar").write_bytes(broken)
        with pytest.raises(DataError, match=r"00000\.tar: is no readable tar file: .*gunzip"):
            PairsConfig(path=str(shards)).open()


def test_nothing_to_pair_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"looked for files ending with \.jpg, .*the folder holds none"):
        PairsConfig(path=str(tmp_path)).open()
    with pytest.raises(DataError, match=r"gone: looked for files ending with \.tar; there is no such file or folder"):
        PairsConfig(path=str(tmp_path / "gone")).open()
    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    with pytest.raises(DataError, match="looked for pairs of image and caption; found none"):
        PairsConfig(path=str(tmp_path)).open()
