"""Samples in their order: neither threads nor other processes change it."""

import json
import threading

import pytest

from modalink.data.sources.messages import MessagesConfig
from modalink.errors import PromptError
from modalink.model.prepared import IGNORED, Prepared
from modalink.runs.ledger import Ledger
from tests.support.numbered import THREE, NumbersConfig, loader, run, shares, with_bad


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


def test_a_source_with_its_own_template(ledger):
    asked = {}

    def prepare(conversation, **own):
        asked[conversation.id[0]] = own
        return Prepared(conversation.id, [1], [1])

    configs = [NumbersConfig(path="a", size=4), NumbersConfig(path="b", size=4, template="plain")]
    run(loader(configs, prepare, ledger, batch=8), 1)
    assert asked == {"a": {}, "b": {"template": "plain"}}


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


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_drawn_of_a_sample_is_the_same_for_any_number_of_processes(prepare, ledger, ledgers, workers):
    def noting(seeds):
        def noted(conversation, *, seed):
            seeds.append((conversation.id, seed))
            return prepare(conversation)

        return noted

    configs, alone, together = [NumbersConfig(size=20)], [], []
    run(loader(configs, noting(alone), ledger, batch=6, workers=workers, draws=True), 8)
    for share in shares(configs, noting(together), ledgers, 3, workers=workers, draws=True):
        run(share, 8)
    # Threads work ahead, each process as far as it likes.
    assert len({*alone} & {*together}) >= 48
    assert len({seed for _, seed in {*alone}}) == len({*alone})
    # Each sample comes more than once, and draws anew each time.
    assert len({name for name, _ in alone}) == 20


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
