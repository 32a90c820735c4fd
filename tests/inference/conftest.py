"""Systems of tiny random parts, one of them taught to ask for an image."""

import numpy as np
import pytest
import torch
from PIL import Image

from modalink.inference import Session
from modalink.model import compose
from modalink.recipe import SystemSpec
from modalink.testing.checkpoints import tiny_clip_vision, tiny_llama, tiny_stable_diffusion

PROJECTOR = {"kind": "transformer", "width": 16, "encoder_layers": 1, "decoder_layers": 1, "heads": 2}


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """A session over new parts: image in, text out, and image out when asked."""

    def make(llm=tiny_llama, *, template="vicuna-v1.1", draws=False, reads=True, **options):
        folder = tmp_path_factory.mktemp("parts")
        data = {"inputs": {}, "llm": {"checkpoint": str(llm(folder / "llm", **options))}}
        data["prompt"] = {"template": template}
        if reads:
            encoder = {"kind": "vision", "checkpoint": str(tiny_clip_vision(folder / "vision"))}
            data["inputs"] = {"image": {"encoder": encoder, "projector": {"kind": "mlp"}}}
        if draws:
            generator = {"kind": "stable_diffusion", "checkpoint": str(tiny_stable_diffusion(folder / "diffusion"))}
            output = {"signal_tokens": 3, "projector": PROJECTOR, "generator": {**generator, "steps": 2}}
            data["outputs"] = {"image": output}
        return Session(compose(SystemSpec.model_validate(data)))

    return make


@pytest.fixture(scope="session")
def reader(build):
    """Reads images, writes text."""
    return build()


@pytest.fixture(scope="session")
def picture():
    """A random picture for a seed."""
    return lambda seed: Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 30, 3), dtype=np.uint8))


@pytest.fixture(scope="session")
def artist(build, teach):
    """Also draws: after two words of the answer to "Draw it." it asks for an image."""
    return teach(build(draws=True), "Draw it.", words=2)


@pytest.fixture(scope="session")
def teach():
    """Turn the head's row of the first signal token so that it wins after some words of an answer, and only there."""

    def make(session, request, *, words):
        model, seen = session.system.model, []
        inputs = session.system.processor(conversation=[{"role": "user", "content": request}])
        head = model.language_model.get_output_embeddings()
        with torch.no_grad():
            head.new_rows.zero_()
            spoken = model.generate(**inputs, max_new_tokens=words, do_sample=False)
            spoken = torch.cat([spoken, torch.tensor([model.config.signals["image"]])], 1)
            hook = head.register_forward_pre_hook(lambda module, states: seen.append(states[0][0]))
            if model.config.is_encoder_decoder:
                model(**inputs, decoder_input_ids=spoken)
            else:
                model(input_ids=spoken)
            hook.remove()
            # States before each word, before the signal tokens, and after the last of them.
            states = torch.cat([seen[-1][-words - 4 : -3], seen[-1][-1:]])
            wanted = torch.tensor([*[-1e3] * words, 1e3, -1e3])
            head.new_rows[0] = torch.linalg.pinv(states) @ wanted
        return session

    return make
