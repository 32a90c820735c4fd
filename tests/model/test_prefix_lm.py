"""A prefix LM: prompts are read in both directions, replies are not, in packed batches, padded ones and caches."""

import pytest
import torch
from transformers import DynamicCache, Qwen2Config

from modalink.errors import PartError
from modalink.inference import Engine, Request, Sampling
from modalink.llms import ATTENTION, Segments, both_ways, decode
from modalink.llms.pretrained import PretrainedLlmConfig
from modalink.model import System, compose
from modalink.model.collating import collate
from modalink.model.prepared import IGNORED
from modalink.testing.checkpoints import tiny_llama, tiny_llm, tiny_opt, tiny_t5

WINDOW = {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 0}
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
WINDOWED = Qwen2Config(**SIZES, num_key_value_heads=2, initializer_range=0.2, **WINDOW)
FAMILIES = {
    "llama": (tiny_llama, None),
    "opt": (tiny_opt, None),
    "a window": (lambda folder: tiny_llm(folder, WINDOWED), 3),
}
LENGTHS, PREFIXES = (7, 4, 9), (5, 0, 9)


def reference(llm, row, prefix, window):
    """The class's own eager attention under a mask that is written out."""
    length = len(row)
    seen = torch.zeros(length, length, dtype=torch.bool)
    for query in range(length):
        for key in range(length):
            earlier, inside = key <= query, query < prefix and key < prefix
            seen[query, key] = (earlier or inside) and (window is None or abs(query - key) < window)
    mask = torch.where(seen, 0.0, torch.finfo(torch.float32).min)[None, None]
    places = torch.arange(length)[None]
    with torch.no_grad():
        return llm(input_ids=row[None], attention_mask=mask, position_ids=places, use_cache=False).logits[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_padded_and_behind_a_cache_it_equals_a_mask_that_is_written_out(tmp_path, family):
    make, window = FAMILIES[family]
    config = PretrainedLlmConfig(checkpoint=str(make(tmp_path)))
    own, llm = config.build(), config.build()
    own.set_attn_implementation("eager")
    llm.set_attn_implementation(ATTENTION)
    rows = [torch.randint(5, 40, (length,)) for length in LENGTHS]
    expected = [reference(own, row, prefix, window) for row, prefix in zip(rows, PREFIXES, strict=True)]
    plain = reference(own, rows[2], 0, window)
    assert (plain - expected[2]).abs().max() > 1e-2

    def read(ids, **options):
        with torch.no_grad():
            return decode(llm, inputs_embeds=llm.get_input_embeddings()(ids), **{"use_cache": False} | options)

    for order in ((0, 1, 2), (0, 2)):  # with much padding segment by segment, with little as rows
        segments = Segments.of([LENGTHS[n] for n in order], prefixes=[PREFIXES[n] for n in order])
        stream = torch.cat([rows[n] for n in order])[None]
        packed = read(stream, attention_mask=segments.mask(), position_ids=segments.positions).logits[0]
        torch.testing.assert_close(packed, torch.cat([expected[n] for n in order]), atol=2e-5, rtol=1e-4)

    row, prefix = rows[0], PREFIXES[0]
    ids = torch.zeros(2, 7, dtype=torch.long)
    mask = torch.zeros(2, 7, dtype=torch.long)
    ids[0, 7 - prefix :], mask[0, 7 - prefix :], ids[1], mask[1] = row[:prefix], 1, rows[2][:7], 1
    places = (mask.cumsum(1) - 1).clamp(min=0)
    prompt = read(
        ids,
        attention_mask=both_ways(mask, mask.bool()),
        position_ids=places,
        cache=DynamicCache(),
        use_cache=True,
    )
    torch.testing.assert_close(prompt.logits[0, 7 - prefix :], expected[0][:prefix], atol=2e-5, rtol=1e-4)
    after = torch.stack([row[prefix:], row[prefix:]])
    longer = torch.cat([mask, torch.ones_like(after)], 1)
    then = read(
        after,
        attention_mask=longer,
        position_ids=(longer.cumsum(1) - 1)[:, -2:],
        cache=prompt.cache,
        use_cache=True,
    ).logits
    torch.testing.assert_close(then[0], expected[0][prefix:], atol=2e-5, rtol=1e-4)


@pytest.fixture
def system(make_spec):
    spec = make_spec(template="question-answer")
    return compose(spec.model_copy(update={"llm": spec.llm.replace(prefix_lm=True)}))


def test_the_last_reply_alone_is_learned_and_all_before_it_is_the_prefix(system, talk, picture):
    turns = (("user", [picture(1), "What?"]), ("assistant", ["red"]), ("user", ["And?"]), ("assistant", ["blue"]))
    long = system.processor.prepare(talk(*turns))
    short = system.processor.prepare(talk(("user", ["Who?"]), ("assistant", ["nobody"])))
    prompt = system.processor.prepare(talk(*turns[:3]), reply=True)
    first = next(place for place, label in enumerate(long.labels) if label != IGNORED)
    assert long.input_ids[:first] == prompt.input_ids
    batch = collate([long, short], packed=True, pad_id=0, both_ways=True)
    assert batch.segments.prefixes[0] == first
    with torch.no_grad():
        packed = system.model(**batch.inputs(conditions=False)).logits
        alone = []
        for sample in (long, short):
            one = collate([sample], packed=False, pad_id=0)
            found = system.model(**one.inputs(conditions=False) | {"labels": one.labels, "logits_to_keep": 0})
            alone.append(found.logits[one.predicting])
    torch.testing.assert_close(packed, torch.cat(alone), atol=2e-5, rtol=1e-4)


def test_answers_are_the_same_alone_together_and_with_or_without_a_cache_and_after_saving(
    system, talk, picture, tmp_path
):
    asked = [talk(("user", [picture(1), "What is it?"])), talk(("user", ["And who is there?"]))]
    system.save(tmp_path / "saved")
    answers = []
    for one in (system, System.load(tmp_path / "saved")):
        requests = [Request(one.processor.prepare(a, reply=True), Sampling(max_new_tokens=8)) for a in asked]
        engine = Engine(one)
        alone = [engine.generate([request])[0].ids for request in requests]
        assert [answer.ids for answer in engine.generate(requests)] == alone
        options = {"max_new_tokens": 8, "do_sample": False}
        inputs = one.processor(asked[0])
        cached, plain = (one.model.generate(**inputs, **options, use_cache=use) for use in (True, False))
        assert torch.equal(cached, plain)
        assert cached[0, inputs["input_ids"].shape[1] :].tolist()[: len(alone[0])] == [*alone[0]]
        answers.append(alone)
    assert answers[0] == answers[1]
    system.model.both_ways = False
    inputs = system.processor(asked[0])
    with torch.no_grad():
        causal = system.model(**inputs).logits[0, -1]
        system.model.both_ways = True
        assert (system.model(**inputs).logits[0, -1] - causal).abs().max() > 1e-3


def test_a_family_that_reads_in_its_own_way_is_refused(make_spec, tmp_path):
    spec = make_spec(llm=tiny_t5(tmp_path / "t5"), template="question-answer")
    with pytest.raises(PartError, match=r"llm.prefix_lm: T5ForConditionalGeneration is run by its own attention"):
        compose(spec.model_copy(update={"llm": spec.llm.replace(prefix_lm=True)}))
