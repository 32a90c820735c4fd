"""The loader: full batches in a fixed order, taken up exactly."""

import json

import datasets
import pytest

from modalink.data.sources.llava_json import LlavaJsonConfig
from modalink.data.sources.messages import MessagesConfig
from modalink.errors import CheckpointError, RecipeError
from modalink.runs.ledger import Ledger
from tests.support.numbered import THREE, NumbersConfig, loader, run, shares, with_bad


def test_every_batch_is_full_and_an_epoch_holds_each_sample_once(prepare, ledger):
    batches = run(loader(THREE["concatenate"], prepare, ledger, batch=6), 9)
    assert [len(batch) for batch in batches] == [6] * 9
    names = {*(f"a{i}" for i in range(9)), "b0", "b1", *(f"c{i}" for i in range(7))}
    epochs = [[name for batch in batches[start : start + 3] for name in batch] for start in (0, 3, 6)]
    assert all(sorted(epoch) == sorted(names) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


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
