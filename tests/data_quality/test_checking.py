"""Several checks look at a source in one pass."""

import json

import pytest

from modalink.data.sources.messages import MessagesConfig
from modalink.data.sources.pairs import PairsConfig
from modalink.data_quality.check import Context
from modalink.data_quality.checking import check, default_checks, samples
from modalink.data_quality.checks.duplicates import DuplicatesConfig
from modalink.data_quality.checks.labels import LabelsConfig
from modalink.data_quality.checks.licences import LicencesConfig
from modalink.data_quality.checks.near_duplicates import NearDuplicatesConfig
from modalink.data_quality.checks.schema import SchemaConfig
from modalink.data_quality.page import faulty_page


@pytest.fixture
def source(tmp_path):
    rows = [{"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b"}], "license": "MIT"}]
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *rows, {"messages": 3}, *rows]))
    return MessagesConfig(path=str(path))


def test_faults_by_check_and_by_sample(source, tmp_path):
    seen = []
    checks = [SchemaConfig(), DuplicatesConfig(), LicencesConfig(), LabelsConfig()]
    found = check(source, checks, Context(), on_sample=seen.append)
    assert seen == [1, 2, 3, 4] and found.samples == 4
    assert {name: [fault.number for fault in faults] for name, faults in found.faults.items()} == {
        "schema": [2], "duplicates": [1, 3], "licences": [],
    }  # fmt: skip
    assert list(found.faulty) == [1, 2, 3] and found.counts("duplicates") == {"duplicate": 2}
    assert found.left_out == {"labels": "a recipe, which makes prompts: --recipe RECIPE"}
    assert found.facts == {"licences": {"licences": {"MIT": 3, "unknown": 1}}}
    data = json.loads(json.dumps(found.to_dict()))
    assert data["faulty"] == 3 and [row["check"] for row in data["faults"]] == ["duplicates", "schema", "duplicates"]
    assert check(source, [DuplicatesConfig()], Context(), limit=2).to_dict()["faulty"] == 1


def test_samples_of_several_sources_are_compared_with_each_other(source, tmp_path):
    words = "a b c d e f g h i j k l m n o p q r s t"
    for name, said in (("first", "b"), ("second", words), ("third", f"{words} u")):
        talk = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": said}]
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"messages": talk, "id": name}) + "\n")
    paths = [source.path, *(str(tmp_path / f"{name}.jsonl") for name in ("first", "second", "third"))]
    checks, context = [DuplicatesConfig(), NearDuplicatesConfig(), NearDuplicatesConfig(text=1.0)], Context()
    found = [check(MessagesConfig(path=path), checks, context) for path in paths]
    assert [[list(map(len, one.faults.values()))] for one in found] == [
        [[2, 2, 2]],
        [[1, 1, 1]],
        [[0] * 3],
        [[0, 1, 0]],
    ]
    assert found[1].faults["duplicates"][0].detail.endswith(f"the same as {paths[0]}, line 1 of messages {paths[0]}")
    (fault,) = found[3].faults["near_duplicates"]
    assert fault.detail.startswith(f"is like second of messages {paths[2]}: 9")
    alone = check(MessagesConfig(path=paths[3]), checks, Context())
    assert not alone.faulty


def test_the_page_shows_faulty_samples_alone(source):
    found = check(source, [SchemaConfig(), DuplicatesConfig()], Context())
    page = faulty_page(source, found, Context(), each=1)
    assert page.count("<section>") == 2 and "duplicates: duplicate: says and shows the same" in page
    assert "schema: bad_messages: found 3" in page and "3 of 4 samples have faults" in page


def test_all_checks_are_made_that_need_nothing():
    assert {"duplicates", "near_duplicates", "schema", "media", "benchmarks"} <= {c.kind for c in default_checks()}


def test_records_of_pairs_are_the_rows_of_their_table(tmp_path):
    (tmp_path / "t.csv").write_text("image,caption,license\na.png,a cat,MIT\nb.png,a dog,CC0\n")
    source = PairsConfig(path=str(tmp_path), captions="t.csv", direction="both").open()
    assert [sample.record["license"] for sample in samples(source)] == ["MIT", "MIT", "CC0", "CC0"]
