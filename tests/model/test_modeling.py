import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from modalink.errors import PromptError
from modalink.model import ModalinkForConditionalGeneration, collate
from modalink.model.arguments import unpack
from modalink.model.groups import group_of


def _prepared(system, talk, picture):
    draw = ("assistant", ["here: ", picture(3), " done"])
    return [
        system.processor.prepare(talk(("user", ["what is ", picture(1), " here?"]), ("assistant", ["a red circle"]))),
        system.processor.prepare(talk(("user", ["hello"]), ("assistant", ["good day"]))),
        system.processor.prepare(talk(("user", [picture(1), picture(2), "compare"]), draw)),
    ]


def _loss(system, batch):
    output = system.model(**batch.inputs())
    language = torch.nn.functional.cross_entropy(output.logits.float(), batch.wanted, reduction="sum")
    return language + sum(c["tokens"].square().sum() for c in output.conditions.values() if output.conditions)


def test_gradients_reach_exactly_the_links(make_system, talk, picture):
    system = make_system(lora=True, draws=True)
    _loss(system, collate(_prepared(system, talk, picture), packed=True, pad_id=0)).backward()
    reached = {group_of(n) for n, p in system.model.named_parameters() if p.grad is not None}
    assert reached == {"inputs.image.projector", "llm.lora", "llm.new_tokens", "outputs.image.projector"}
    assert set(system.model.trainable_groups()) == reached | {"llm", "inputs.image.encoder"}


def test_packed_padded_and_one_by_one_give_the_same_loss_and_gradients(make_system, talk, picture):
    system = make_system(lora=True, draws=True)
    prepared = _prepared(system, talk, picture)

    def gradients(*batches):
        system.model.zero_grad()
        losses = [_loss(system, batch) for batch in batches]
        sum(losses).backward()
        grads = {n: p.grad.clone() for n, p in system.model.named_parameters() if p.grad is not None}
        return sum(losses).item(), grads

    alone = [collate([sample], packed=True, pad_id=0) for sample in prepared]
    # A sample without an image is not asked for conditions: the sum over samples is the same.
    expected_loss, expected = gradients(*[b for b in alone if b.targets])
    text_loss, text = 0.0, {}
    for batch in alone:
        if not batch.targets:
            system.model.zero_grad()
            wanted = batch.wanted
            loss = torch.nn.functional.cross_entropy(system.model(**batch.inputs()).logits, wanted, reduction="sum")
            loss.backward()
            text_loss += loss.item()
            for name, p in system.model.named_parameters():
                if p.grad is not None:
                    text[name] = text.get(name, 0) + p.grad.clone()
    for packed in (True, False):
        loss, found = gradients(collate(prepared, packed=packed, pad_id=0))
        assert loss == pytest.approx(expected_loss + text_loss, rel=1e-5)
        for name, grad in found.items():
            wanted = expected.get(name, 0) + text.get(name, 0)
            torch.testing.assert_close(grad, wanted + torch.zeros_like(grad), atol=1e-4, rtol=1e-3)


def test_features_given_ahead_equal_media(make_system, talk, picture):
    system = make_system()
    sample = system.processor.prepare(talk(("user", [picture(1), "what?"]), ("assistant", ["a circle"])))
    batch = collate([sample], packed=True, pad_id=0)
    expected = system.model(**batch.inputs()).logits
    batch.features["image"] = system.model.encode("image", batch.media["image"])
    assert "pixel_values" not in batch.inputs()
    assert torch.equal(system.model(**batch.inputs()).logits, expected)


@pytest.mark.parametrize("items", [0, 1, 3])
def test_a_wrong_number_of_media_is_an_error_with_rows_and_numbers(make_system, talk, picture, items):
    system = make_system()
    inputs = system.processor(talk(("user", [picture(1), picture(2), "compare"])))
    inputs["pixel_values"] = torch.zeros(items, 3, 32, 32) if items else None
    with pytest.raises(PromptError, match=rf"32 image placeholder tokens \(row 0: 32\) and {items} image items"):
        system.model(**inputs)


def test_media_of_a_modality_that_the_system_does_not_read_are_refused(make_system):
    system = make_system()
    with pytest.raises(PromptError, match="reads \\['image'\\]"):
        system.model.model.embed(torch.tensor([[5, 6]]), unpack({"features": {"audio": torch.zeros(1, 2, 3)}})[1])


def test_a_torn_run_of_signal_tokens_is_refused(make_system):
    system = make_system(draws=True)
    first, second, _ = system.model.config.signals["image"]
    with pytest.raises(PromptError, match="no whole runs of 3"):
        system.model(input_ids=torch.tensor([[5, first, second, 6]]), return_conditions=True)


def test_conditions_are_the_projected_last_states_at_the_signal_tokens(make_system):
    system = make_system(draws=True)
    ids = torch.tensor([[5, 6, *system.model.config.signals["image"], 7]])
    output = system.model(input_ids=ids, return_conditions=True)
    decoder = system.model.language_model.get_decoder()
    states = decoder(inputs_embeds=system.model.model.embed(ids)).last_hidden_state
    expected = system.model.output_projectors["image"](states[:, 2:5])
    torch.testing.assert_close(output.conditions["image"]["tokens"], expected)
    assert expected.shape[1:] == (16, 32)


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"cache_implementation": "static"}])
def test_generation_with_a_cache_equals_generation_without(make_system, talk, picture, options):
    system = make_system(lora=True, draws=True)
    inputs = system.processor(talk(("user", [picture(1), "and ", picture(2)])))
    arguments = {"max_new_tokens": 6, "do_sample": False}
    beams = {k: v for k, v in options.items() if k == "num_beams"}
    expected = system.model.generate(**inputs, **arguments, **beams, use_cache=False)
    assert torch.equal(system.model.generate(**inputs, **arguments, **options), expected)


def test_left_padded_prompts_of_different_media_generate_as_alone(make_system, talk, picture):
    system = make_system()
    system.processor.tokenizer.padding_side = "left"
    texts = ["USER: <image>what ASSISTANT:", "USER: <image><image>compare these ASSISTANT:", "USER: hello ASSISTANT:"]
    images = [[picture(1)], [picture(2), picture(3)], []]
    arguments = {"max_new_tokens": 5, "do_sample": False}
    together = system.processor(images=images, text=texts, padding=True, return_tensors="pt")
    rows = system.model.generate(**together, **arguments)[:, -5:]
    for i, text in enumerate(texts):
        one = system.processor(images=images[i] or None, text=text, return_tensors="pt")
        assert torch.equal(system.model.generate(**one, **arguments)[0, -5:], rows[i])


def test_frozen_encoders_stay_in_evaluation_mode(make_system):
    model = make_system().model
    model.train()
    assert not model.model.encoders["image"].training
    assert model.language_model.training
    model.model.encoders.requires_grad_(True)
    assert model.train().model.encoders["image"].training


def test_it_is_registered_with_the_auto_classes(make_system, tmp_path):
    system = make_system(lora=True, draws=True)
    system.save(tmp_path / "saved")
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path / "saved")
    assert isinstance(loaded, ModalinkForConditionalGeneration)
    assert AutoConfig.from_pretrained(tmp_path / "saved").signals == system.model.config.signals
