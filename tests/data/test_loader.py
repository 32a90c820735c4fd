"""The loader: full batches in a fixed order, taken up exactly, with a line for each sample left out."""

import json
import threading
from itertools import islice
from typing import Any, Literal

import datasets
import pytest

from modalink.conversation import Conversation, Text, Turn
from modalink.data.loader import Loader
from modalink.data.source import SourceConfig
from modalink.data.sources.llava_json import LlavaJsonConfig
from modalink.data.sources.messages import MessagesConfig
from modalink.data.sources.pairs import PairsConfig
from modalink.errors import CheckpointError, DataError, PromptError, RecipeError, SampleError
from modalink.model.batch import IGNORED, Prepared
from modalink.runs.ledger import Ledger


class NumbersConfig(SourceConfig):
    """Conversations that say their number; some are bad."""

    kind: Literal["numbers"] = "numbers"
    path: str = "a"
    size: int
    bad: tuple[int, ...] = ()

    def open(self) -> Any:
        return Numbers(self)


class Numbers:
    def __init__(self, config):
        self.config = config

    def __len__(self):
        return self.config.size

    def __getitem__(self, index):
        name = f"{self.config.path}{index}"
        if index in self.config.bad:
            raise SampleError(name, "bad_record", "of no use")
        return Conversation((Turn("user", (Text("q"),)), Turn("assistant", (Text(name),))), name)


def loader(configs, prepare, ledger, mixture="concatenate", seed=0, batch=4, on_bad="skip", workers=0):
    return Loader(configs, mixture, seed, prepare, ledger, on_bad, batch, workers=workers)


def ids(batches):
    return [[sample.id for sample in batch] for batch in batches]


def run(source, steps):
    return ids(islice(source, steps))


THREE = {
    "concatenate": [NumbersConfig(path="a", size=9), NumbersConfig(path="b", size=2), NumbersConfig(path="c", size=7)],
    "ratio": [
        NumbersConfig(path="a", size=9, weight=3.0),
        NumbersConfig(path="b", size=2, weight=0.5),
        NumbersConfig(path="c", size=7, weight=1.0),
    ],
    "sqrt": [NumbersConfig(path="a", size=9), NumbersConfig(path="b", size=1), NumbersConfig(path="c", size=4)],
}


def with_bad(configs):
    return [config.replace(bad=(0, 3, 8)) if config.path != "b" else config for config in configs]


# Order


def test_every_batch_is_full_and_an_epoch_holds_each_sample_once(prepare, ledger):
    batches = run(loader(THREE["concatenate"], prepare, ledger, batch=6), 9)
    assert [len(batch) for batch in batches] == [6] * 9
    names = {*(f"a{i}" for i in range(9)), "b0", "b1", *(f"c{i}" for i in range(7))}
    epochs = [[name for batch in batches[start : start + 3] for name in batch] for start in (0, 3, 6)]
    assert all(sorted(epoch) == sorted(names) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize("mixture", THREE)
@pytest.mark.parametrize("bad", [False, True])
def test_threads_do_not_change_the_order(mixture, bad, prepare, tmp_path):
    configs = with_bad(THREE[mixture]) if bad else THREE[mixture]
    found = []
    for workers in (0, 1, 5):
        ledger = Ledger(tmp_path / f"{workers}.jsonl")
        found.append((run(loader(configs, prepare, ledger, mixture, workers=workers), 12), list(ledger)))
    assert found[0] == found[1] == found[2]


def test_a_slow_sample_keeps_its_place(prepare, ledger):
    waiting = threading.Event()
    first = run(loader(THREE["concatenate"], prepare, ledger, workers=0), 1)[0][0]

    def slow(conversation):
        if conversation.id == first:
            assert waiting.wait(10)
        else:
            waiting.set()
        return prepare(conversation)

    assert run(loader(THREE["concatenate"], slow, ledger, workers=2), 1)[0][0] == first


@pytest.mark.parametrize("mixture", THREE)
@pytest.mark.parametrize("bad", [False, True])
@pytest.mark.parametrize("workers", [0, 3])
def test_taken_up_after_every_step(mixture, bad, workers, prepare, tmp_path):
    """Eleven steps of four: in the middle of epochs, with bad samples; the ledger is the same as well."""
    configs = with_bad(THREE[mixture]) if bad else THREE[mixture]
    whole_ledger = Ledger(tmp_path / "whole.jsonl")
    whole = run(loader(configs, prepare, whole_ledger, mixture), 11)
    for stop in (0, 1, 4, 7, 10):
        ledger = Ledger(tmp_path / f"{stop}.jsonl")
        first = loader(configs, prepare, ledger, mixture, workers=workers)
        steps = iter(first)
        run(steps, stop)
        state = json.loads(json.dumps(first.state_dict()))
        run(steps, 2)  # steps that the checkpoint does not know, and that a crash undoes
        again = loader(configs, prepare, Ledger(tmp_path / f"{stop}.jsonl"), mixture, workers=workers)
        again.load_state_dict(state)
        assert run(again, 11 - stop) == whole[stop:]
        assert list(Ledger(tmp_path / f"{stop}.jsonl")) == list(whole_ledger)


def test_killed_before_the_first_checkpoint_nothing_counts_twice(prepare, tmp_path):
    path = tmp_path / "ledger.jsonl"
    configs = with_bad(THREE["concatenate"])
    run(loader(configs, prepare, Ledger(path)), 5)
    once = list(Ledger(path))
    run(loader(configs, prepare, Ledger(path)), 5)
    assert list(Ledger(path)) == once and once


def test_iterating_again_goes_on(prepare, ledger):
    whole = run(loader(THREE["concatenate"], prepare, ledger), 6)
    parts = loader(THREE["concatenate"], prepare, ledger, workers=2)
    assert run(parts, 2) + run(parts, 3) + run(parts, 1) == whole


def test_an_interrupt_within_a_batch_leaves_the_place_at_its_start(prepare, ledger):
    whole = run(loader(THREE["concatenate"], prepare, ledger), 3)

    def interrupted(conversation):
        if conversation.id == whole[1][2]:
            raise KeyboardInterrupt
        return prepare(conversation)

    for workers in (0, 2):
        cut = loader(THREE["concatenate"], interrupted, ledger, workers=workers)
        with pytest.raises(KeyboardInterrupt):
            run(cut, 3)
        again = loader(THREE["concatenate"], prepare, ledger)
        again.load_state_dict(cut.state_dict())
        assert run(again, 2) == whole[1:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed: found 1, needed 0"),
        ({"batch": 5}, "batch: found 5, needed 4"),
        ({"mixture": "sqrt"}, "mixture: found sqrt, needed concatenate"),
        ({"configs": [NumbersConfig(size=8)]}, r"sources: found \[\['numbers a', 8\]\], needed \[\['numbers a', 9\]\]"),
    ],
)
def test_a_place_in_other_data_is_refused(prepare, ledger, change, message):
    configs = [NumbersConfig(path="a", size=9)]
    state = loader(configs, prepare, ledger).state_dict()
    options = {"configs": configs, **change}
    with pytest.raises(CheckpointError, match=f"not those of the checkpoint: {message}; restore"):
        loader(options.pop("configs"), prepare, ledger, **options).load_state_dict(state)


def test_epoch_samples(prepare, ledger):
    assert loader(THREE["ratio"], prepare, ledger, "ratio").epoch_samples == 18


def test_ratio_reaches_every_batch(prepare, ledger):
    configs = [NumbersConfig(path="a", size=50, weight=3.0), NumbersConfig(path="b", size=5, weight=1.0)]
    for batch in run(loader(configs, prepare, ledger, "ratio", batch=8), 20):
        assert sum(name.startswith("b") for name in batch) == 2


def test_a_source_without_weight_cannot_be_mixed_by_ratio(prepare, ledger):
    with pytest.raises(RecipeError, match="needs one for each source"):
        loader(THREE["sqrt"], prepare, ledger, "ratio")


def test_a_source_with_its_own_template(ledger):
    asked = {}

    def prepare(conversation, **own):
        asked[conversation.id[0]] = own
        return Prepared(conversation.id, [1], [1])

    configs = [NumbersConfig(path="a", size=4), NumbersConfig(path="b", size=4, template="plain")]
    run(loader(configs, prepare, ledger, batch=8), 1)
    assert asked == {"a": {}, "b": {"template": "plain"}}


# Bad samples


def test_skipped_samples_are_replaced_and_written_down(prepare, ledger):
    configs = [NumbersConfig(path="a", size=10, bad=(2, 5))]
    batches = run(loader(configs, prepare, ledger, batch=4), 4)
    assert sorted(name for batch in batches[:2] for name in batch) == [f"a{i}" for i in range(10) if i not in (2, 5)]
    assert all(len(batch) == 4 for batch in batches)
    entries = [(entry.sample, entry.reason, entry.detail) for entry in ledger if entry.step < 2]
    assert sorted(entries) == [("a2", "bad_record", "of no use"), ("a5", "bad_record", "of no use")]
    assert ledger.summary()["bad_record"] >= 2


def test_fail_names_the_sample_and_its_source(prepare, ledger):
    configs = [NumbersConfig(path="a", size=10, bad=(2,))]
    with pytest.raises(DataError, match=r"^numbers a: sample a2 is bad \(bad_record\): of no use$"):
        run(loader(configs, prepare, ledger, on_bad="fail"), 3)
    assert ledger.summary() == {}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_source_of_bad_samples_ends_the_run(prepare, ledger, workers, size):
    configs = [NumbersConfig(path="a", size=size, bad=tuple(range(size)))]
    with pytest.raises(DataError, match=rf"numbers a: all its {size} samples are bad; the last was a\d \(bad_record\)"):
        run(loader(configs, prepare, ledger, workers=workers), 1)
    assert {entry.sample for entry in ledger} == {f"a{i}" for i in range(size)}


def test_one_good_sample_in_an_epoch_keeps_the_run_alive(prepare, ledger):
    for good in range(6):
        configs = [NumbersConfig(path="a", size=6, bad=tuple(i for i in range(6) if i != good))]
        assert run(loader(configs, prepare, ledger, batch=2, seed=good), 10) == [[f"a{good}"] * 2] * 10


def test_a_bad_source_among_good_ones_is_not_starved_in_silence(prepare, ledger):
    configs = [NumbersConfig(path="a", size=5), NumbersConfig(path="b", size=5, bad=tuple(range(5)))]
    with pytest.raises(DataError, match=r"numbers b: all its 5 samples are bad"):
        run(loader(configs, prepare, ledger), 20)


def test_a_large_source_of_bad_samples_ends_the_run_early(prepare, ledger, monkeypatch):
    monkeypatch.setattr("modalink.data.loader.MAX_BAD_RUN", 20)
    configs = [NumbersConfig(path="a", size=10**6, bad=tuple(range(10**6)))]
    with pytest.raises(DataError, match="numbers a: 20 in a row of its samples are bad"):
        run(loader(configs, prepare, ledger), 1)


def test_prompts_that_cannot_be_and_texts_that_are_cut(ledger):
    def prepare(conversation):
        number = int(conversation.id[1:])
        if number == 0:
            raise PromptError(f"{conversation.id}: its media take too many tokens")
        labels = [IGNORED, IGNORED] if number == 1 else [IGNORED, 1]
        return Prepared(conversation.id, [1, 2], labels, cut=7 if number in (1, 2) else 0)

    batches = run(loader([NumbersConfig(path="a", size=5)], prepare, ledger, batch=3), 1)
    assert sorted(batches[0]) == ["a2", "a3", "a4"]
    entries = {(entry.sample, entry.reason, entry.detail) for entry in ledger}
    assert ("a2", "text_cut", "7 text tokens cut at the maximum length") in entries
    assert entries <= {
        ("a0", "prompt", "its media take too many tokens"),
        ("a1", "no_labels", "no token carries loss; 7 text tokens were cut"),
        ("a2", "text_cut", "7 text tokens cut at the maximum length"),
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mistake_in_the_program_is_no_bad_sample(ledger, workers):
    def prepare(conversation):
        raise ZeroDivisionError("division by zero")

    with pytest.raises(ZeroDivisionError) as caught:
        run(loader([NumbersConfig(path="a", size=5)], prepare, ledger, workers=workers), 1)
    assert caught.value.__notes__[0].startswith("while preparing sample a")
    assert ledger.summary() == {}


def test_threads_end_with_the_iteration(prepare, ledger):
    before = threading.active_count()
    steps = iter(loader(THREE["concatenate"], prepare, ledger, workers=4))
    next(steps)
    assert threading.active_count() > before
    steps.close()
    assert threading.active_count() == before


# Real files


def test_bad_media_of_every_kind_beside_real_photos(photos, prepare, ledger, write_lines):
    (photos / "truncated.jpg").write_bytes((photos / "china.jpg").read_bytes()[:20_000])
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "words.jpg").write_text("these are words")
    (photos / "folder.jpg").mkdir()
    (photos / "huge.pgm").write_bytes(b"P5 30000 30000 255\n\0\0\0")
    good = ["astronaut.png", "coffee.png", "rocket.jpg", "china.jpg", "flower.jpg"]
    bad = {
        "truncated.jpg": "truncated", "empty.jpg": "empty", "words.jpg": "not_an_image", "folder.jpg": "not_a_file",
        "huge.pgm": "too_large", "missing.jpg": "missing", "https://example.com/a.jpg": "remote",
    }  # fmt: skip
    rows = [{"id": name, "image": name, "caption": f"a photo called {name}"} for name in [*good, *bad]]
    write_lines("photos/captions.jsonl", [*rows, {"id": "mute", "image": "rocket.jpg"}, "{broken"])
    config = PairsConfig(path=str(photos), captions="captions.jsonl")
    batches = run(loader([config], prepare, ledger, batch=5, workers=2), 1)
    assert sorted(batches[0]) == sorted(good)
    found = {entry.sample: entry.reason for entry in ledger if entry.step == 0}
    expected = bad | {"mute": "no_caption", f"{photos / 'captions.jsonl'}, line 14": "bad_record"}
    assert found.items() <= expected.items()
    run(loader([config], prepare, ledger, batch=5), 4)
    assert {entry.sample: entry.reason for entry in ledger} == expected
    with pytest.raises(DataError, match=r"pairs .*photos: sample .* is bad"):
        run(loader([config], prepare, ledger, batch=5, on_bad="fail"), 1)


def test_photos_text_and_a_stream_mixed(photos, prepare, tmp_path, write_lines):
    said = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A photo."}]
    llava = write_lines(
        "llava.jsonl",
        [{"id": f"l{i}", "image": name, "conversations": said} for i, name in enumerate(["china.jpg", "gone.jpg"])],
    )
    rows = [{"id": f"s{i}", "messages": [{"role": "user", "content": f"{i}"}, {"role": "assistant", "content": "a"}]}
            for i in range(9)]  # fmt: skip
    (tmp_path / "stream").mkdir()
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "stream" / "train.parquet")
    configs = [
        LlavaJsonConfig(path=str(llava), media=str(photos), weight=1.0),
        MessagesConfig(dataset=str(tmp_path / "stream"), streaming=True, window=4, weight=3.0),
    ]
    whole_ledger = Ledger(tmp_path / "whole.jsonl")
    whole = run(loader(configs, prepare, whole_ledger, "ratio"), 8)
    assert sum(name.startswith("s") for batch in whole for name in batch) >= 24
    assert {entry.reason for entry in whole_ledger} == {"missing"}
    assert loader(configs, prepare, whole_ledger, "ratio").epoch_samples is None
    for stop in (0, 1, 5):
        ledger = Ledger(tmp_path / f"{stop}.jsonl")
        first = loader(configs, prepare, ledger, "ratio", workers=2)
        steps = iter(first)
        run(steps, stop)
        state = json.loads(json.dumps(first.state_dict()))
        next(steps)
        again = loader(configs, prepare, ledger, "ratio", workers=2)
        again.load_state_dict(state)
        assert run(again, 8 - stop) == whole[stop:]
        assert list(ledger) == list(whole_ledger)


def test_an_empty_source_is_an_error(prepare, ledger):
    with pytest.raises(DataError, match="numbers a: looked for samples; found none"):
        loader([NumbersConfig(size=0)], prepare, ledger)


def shares(configs, prepare, ledgers, world):
    """The loaders of processes that share the batches."""
    return [
        Loader(configs, "concatenate", 0, prepare, ledger, "skip", 6, workers=0, rank=rank, world=world)
        for rank, ledger in zip(range(world), ledgers, strict=True)
    ]


@pytest.fixture
def ledgers(tmp_path):
    return [Ledger(tmp_path / f"{rank}.jsonl") for rank in range(3)]


def test_processes_share_the_batches_of_one_and_prepare_no_others(prepare, ledger, ledgers):
    seen = []

    def noting(conversation):
        seen.append(conversation.id)
        return prepare(conversation)

    configs = [NumbersConfig(size=20)]
    whole = run(loader(configs, prepare, ledger, batch=6), 5)
    parts = [run(share, 5) for share in shares(configs, noting, ledgers, 3)]
    assert parts == [[batch[rank::3] for batch in whole] for rank in range(3)]
    assert len(seen) == 30


def test_a_share_replaces_a_bad_sample_out_of_itself(prepare, ledgers):
    good = [run(share, 4) for share in shares([NumbersConfig(size=40)], prepare, ledgers, 3)]
    bad = int(good[1][0][0].removeprefix("a"))
    parts = [run(share, 4) for share in shares([NumbersConfig(size=40, bad=(bad,))], prepare, ledgers, 3)]
    assert [parts[0], parts[2]] == [good[0], good[2]]
    flat = [[name for batch in found[1] for name in batch] for found in (good, parts)]
    assert flat[1][:-1] == flat[0][1:]
    assert [[entry.sample for entry in ledger] for ledger in ledgers] == [[], [f"a{bad}"], []]


def test_a_share_of_a_stream_reads_past_the_others_records(prepare, ledger, ledgers, tmp_path):
    lines = [{"id": str(i), "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": str(i)}]}
             for i in range(12)]  # fmt: skip
    path = tmp_path / "stream.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    configs = [MessagesConfig(dataset=str(tmp_path), streaming=True, window=1)]
    whole = run(loader(configs, prepare, ledger, batch=6), 3)
    assert [run(share, 3) for share in shares(configs, prepare, ledgers, 3)] == [
        [batch[rank::3] for batch in whole] for rank in range(3)
    ]


def test_shares_are_taken_up_from_the_cursors_of_all(prepare, ledgers):
    second = run(shares([NumbersConfig(size=40)], prepare, ledgers, 3)[1], 1)
    configs = [NumbersConfig(size=40, bad=(int(second[0][0].removeprefix("a")),))]
    whole = [run(share, 6) for share in shares(configs, prepare, ledgers, 3)]
    before = shares(configs, prepare, ledgers, 3)
    for share in before:
        run(share, 3)
    state = before[0].state_dict() | {"cursors": [c for share in before for c in share.state_dict()["cursors"]]}
    after = shares(configs, prepare, ledgers, 3)
    for share in after:
        share.load_state_dict(json.loads(json.dumps(state)))
    assert [run(share, 3) for share in after] == [batches[3:] for batches in whole]
    with pytest.raises(
        CheckpointError, match="3 processes stand at different samples, found 2 processes; go on with 3"
    ):
        shares(configs, prepare, ledgers[:2], 2)[0].load_state_dict(state)


def test_another_number_of_processes_goes_on_where_all_stand_at_one_draw(prepare, ledger, ledgers):
    configs = [NumbersConfig(size=40)]
    whole = run(loader(configs, prepare, ledger, batch=6), 6)
    before = shares(configs, prepare, ledgers, 3)
    for share in before:
        run(share, 3)
    state = before[0].state_dict() | {"cursors": [c for share in before for c in share.state_dict()["cursors"]]}
    after = shares(configs, prepare, ledgers[:2], 2)
    for share in after:
        share.load_state_dict(state)
    assert [run(share, 3) for share in after] == [[batch[rank::2] for batch in whole[3:]] for rank in range(2)]


def test_the_place_of_the_first_format_has_one_cursor_for_all(prepare, ledger):
    configs = [NumbersConfig(size=9)]
    whole = run(loader(configs, prepare, ledger), 4)
    half = loader(configs, prepare, ledger)
    run(half, 2)
    state = half.state_dict()
    (state["cursor"],) = state.pop("cursors")
    rest = loader(configs, prepare, ledger)
    rest.load_state_dict(state)
    assert run(rest, 2) == whole[2:]
