"""The plug-in for lmms-eval, against the smallest stand-in for its interface: it is no dependency of the tests."""

import importlib
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from modalink.errors import OptionError
from modalink.inference import load


class Lmms:
    """lmms-eval's base class: what it does for its models."""

    def __init__(self):
        self.task_dict = {}


@dataclass
class Manifest:
    model_id: str
    chat_class_path: str


@pytest.fixture
def plugin(monkeypatch):
    """The plug-in's module, imported beside the stand-in."""
    homes = {"api.instance": {"Instance": object}, "api.model": {"lmms": Lmms}}
    homes |= {"models.registry_v2": {"ModelManifest": Manifest}}
    for name in ("", "api", "models", *homes):
        module = ModuleType(f"lmms_eval.{name}".rstrip("."))
        vars(module).update(homes.get(name, {}))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "modalink.evaluation.lmms_eval", raising=False)
    yield importlib.import_module("modalink.evaluation.lmms_eval")
    sys.modules.pop("modalink.evaluation.lmms_eval", None)


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8))


DOCS = [{"question": f"What is {n}?", "picture": picture(n)} for n in range(5)]


def messages(doc):
    """What lmms-eval makes of a document: media first, then text."""
    content = [{"type": "image", "url": doc["picture"]}, {"type": "text", "text": doc["question"]}]
    return [{"role": "user", "content": content}]


def requests(**options):
    return [
        SimpleNamespace(args=("context", messages, {"max_new_tokens": 6, **options}, n, "task", "test"))
        for n in range(len(DOCS))
    ]


@pytest.fixture
def model(plugin, saved):
    found = plugin.ModalinkModel(run=str(saved), batch_size="2", device="cpu", max_batch_size=None)
    found.task_dict = {"task": {"test": DOCS}}
    return found


def test_the_entry_point_names_the_class(plugin):
    module, _, name = plugin.MANIFEST.chat_class_path.rpartition(".")
    assert (plugin.MANIFEST.model_id, module) == ("modalink", "modalink.evaluation.lmms_eval")
    found = getattr(plugin, name)
    assert issubclass(found, Lmms) and found.is_simple is False


def test_replies_are_those_of_a_session_asked_with_words_below_the_picture(model, saved):
    session = load(saved, device="cpu")
    wanted = [session.ask(f"\n{d['question']}", image=d["picture"], max_new_tokens=6).text for d in DOCS]
    # A session leaves out a character of which only the first bytes were said.
    assert [text.rstrip("�") for text in model.generate_until(requests())] == wanted
    assert len(set(wanted)) > 1


def test_requests_of_different_lengths_keep_their_order(model):
    mixed = requests()
    mixed[1].args = (*mixed[1].args[:2], {"max_new_tokens": 2}, *mixed[1].args[3:])
    long, short = model.generate_until(requests()), model.generate_until(mixed)
    assert short[0] == long[0] and short[2:] == long[2:]
    assert long[1].startswith(short[1]) and len(short[1]) < len(long[1])


def test_replies_end_before_stop_strings(model):
    whole = model.generate_until(requests())[0]
    for until in (whole[2:4], [whole[2:4], "none"], ["", whole[2:4]]):
        assert model.generate_until(requests(until=until))[0] == whole.split(whole[2:4])[0]


@pytest.mark.parametrize("option", [{"temperature": 0.7}, {"do_sample": True}, {"num_beams": 3}])
def test_what_it_cannot_do_is_told(model, option):
    with pytest.raises(OptionError, match="replies greedily here; add --gen_kwargs temperature=0"):
        model.generate_until(requests(**option))


def test_other_kinds_of_requests_are_refused(model):
    with pytest.raises(NotImplementedError, match="generate_until"):
        model.loglikelihood([])
    with pytest.raises(NotImplementedError, match="one round"):
        model.generate_until_multi_round([])


def test_pyproject_registers_it():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["lmms_eval.models"] == {"modalink": "modalink.evaluation.lmms_eval:MANIFEST"}
