"""Whether an LLM family says in our hands what it says by itself, found out with a tiny LLM of its own class.

The class is built at tiny size with random weights from its own configuration, with all that changes its behaviour, and
each way in which modalink calls an LLM is compared with the class's own eager attention on one sample alone.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import huggingface_hub
import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from modalink import hub
from modalink.errors import PartError
from modalink.llms._attention import ATTENTION
from modalink.llms._calls import cache_name
from modalink.llms._tiny import SHAPES, tiny_form
from modalink.llms._trial import TOLERANCE, Trial
from modalink.verdicts import Verdict, remembered

EQUAL, UNPACKED, OWN, REFUSED = "equal", "unpacked", "own attention", "refused"
_LARGEST = 40_000_000
"""Parameters of a tiny form beyond which it is not built."""
_ONE_LENGTH, _ALL = (0, 3), (0, 1, 2, 3)
"""Samples of one length, and all."""


@dataclass(frozen=True)
class Fit:
    """How an LLM is run, so that it says what its class says by itself.

    Args:
        verdict: `equal` (it also packs), `unpacked` (equal, but samples of a packed stream would change each other),
            `own attention` (it is left its own), or `refused`.
        reason: Why it is not `equal`, and what it cannot; empty where nothing need be said.
        attention: Its attention implementation; None leaves the one that it has.
        packs: Whether several samples may stand in one stream.
        pads: Whether prompts of several lengths may be decoded side by side.
        spans: Whether it reads several tokens at once behind a cache.
    """

    verdict: str
    reason: str = ""
    attention: str | None = None
    packs: bool = False
    pads: bool = True
    spans: bool = True


def settle(llm: PreTrainedModel) -> Fit:
    """Set an LLM's attention to what its probe found right.

    Raises:
        PartError: No way was found in which it says what its class says.
    """
    fit = fit_of(llm)
    if fit.verdict == REFUSED:
        raise PartError(f"llm {llm.config.model_type} ({type(llm).__name__}): {fit.reason}; choose another LLM")
    if fit.attention is not None:
        llm.set_attn_implementation(fit.attention)
    return fit


def fit_of(llm: PreTrainedModel) -> Fit:
    """How an LLM is run; probed once for each class and tiny configuration."""
    fit: Fit | None = getattr(llm, "_modalink_fit", None)
    if fit is None:
        fit = probe(type(llm), llm.config)
        llm._modalink_fit = fit
    return fit


def probe(family: type[PreTrainedModel], config: PreTrainedConfig) -> Fit:
    """How LLMs of a class and a configuration are run.

    Nothing is asked, downloaded or drawn from the process's random state; what is found is remembered.

    Args:
        family: The LLM's class.
        config: Its configuration; its numbers are bounded before anything is allocated.
    """
    forms = forms_of(config)
    first = next(forms)
    if isinstance(first, Exception):
        return Fit(REFUSED, f"its configuration has no tiny form: {words(first)}")
    room = __package__ or ""
    verdict = remembered(
        {"class": f"{family.__module__}.{family.__qualname__}", "form": said(first)},
        lambda: _probed(family, chain([first], forms)),
        libraries=("torch", "transformers"),
        code=[f"{room}.{name}" for name in ("_probe", "_trial", "_tiny", "_calls", "_attention", "_segments")],
    )
    return Fit(verdict.verdict, verdict.reason, **verdict.facts)


def forms_of(config: PreTrainedConfig) -> Iterator[PreTrainedConfig | Exception]:
    """Tiny forms, the smallest first, or the error of one that cannot be described if there is no other."""
    errors: list[Exception] = []
    described = 0
    for shape in SHAPES:
        try:
            form = tiny_form(config, shape)
        except Exception as error:  # whatever the class's own checks raise
            errors.append(error)
            continue
        described += 1
        yield form
    if not described:
        yield errors[0]


def _probed(family: type[PreTrainedModel], forms: Iterable[PreTrainedConfig | Exception]) -> Verdict:
    errors: list[Exception] = []
    with apart():
        for form in forms:
            try:
                assert isinstance(form, PreTrainedConfig)
                llm = built(family, form)
                own = llm.config._attn_implementation
                trial = Trial.of(llm)
            except Exception as error:  # whatever the class raises
                errors.append(error)
                continue
            verdict = _judged(trial, own)
            # Where a family chooses tokens or experts by score, rounding may decide between two that are as good.
            return _judged(Trial.of(llm, seed=1), own) if verdict.verdict == REFUSED else verdict
    return Verdict(REFUSED, f"its tiny form does not run: {words(errors[0])}")


def _judged(trial: Trial, own: str) -> Verdict:
    """The first way of running a tiny LLM in which it says what it says by itself."""
    if trial.replies is None and cache_name(type(trial.llm)) is None:
        return Verdict(
            REFUSED, "it keeps nothing of earlier tokens, so that answers would read the prompt at each token"
        )
    ahead = trial.foresight()
    if ahead > TOLERANCE:
        return Verdict(REFUSED, f"what it says at a token depends on later tokens (by {ahead:.1g}), so it cannot write")
    ways = [(OWN, own), (OWN, "eager")]
    if trial.replies is not None:
        reasons = ["an encoder-decoder, whose samples are not packed"]
    elif trial.llm._supports_attention_backend:
        reasons, ways = [], [(EQUAL, ATTENTION), (UNPACKED, ATTENTION), *ways]
    else:
        reasons = ["its attention cannot be replaced"]
    for verdict, attention in ways:
        packs = verdict == EQUAL
        wrong = _wrong(trial, attention, packs=packs)
        if wrong is None:
            facts = {"attention": None if attention == own else attention, "packs": packs} | _abilities(trial, packs)
            lacks = [words for name, words in _LACKS.items() if not facts[name]]
            if (
                trial.replies is None
                and (inner := trial.decoding(packs=packs, numbers=_ONE_LENGTH, steps=(1, 1))) > TOLERANCE
            ):
                lacks.append(f"its own cache gives other logits than its forward (by {inner:.1g})")
            return Verdict(verdict, "; ".join(dict.fromkeys([*reasons, *lacks])), facts)
        reasons.append(wrong)
    return Verdict(REFUSED, reasons[-1])


_LACKS = {
    "pads": "prompts of different lengths are decoded apart, because padding changes what it says",
    "spans": "tokens behind a cache are read one by one",
}


def _wrong(trial: Trial, attention: str, *, packs: bool) -> str | None:
    """What is wrong with a way of running a tiny LLM, in words; None if nothing is."""
    try:
        trial.llm.set_attn_implementation(attention)
    except Exception as error:  # whatever the class raises, here and below
        return f"the attention {attention} cannot be set: {words(error)}"

    def decoding() -> float:
        return _decoding(trial, attention, packs, _ONE_LENGTH, (1, 1))

    ways = {"samples of one packed stream change each other": trial.packed} if packs else {}
    ways |= {
        "embedded input gives other logits than token ids": trial.embedded,
        "rows padded on the right give other logits than one sample alone": trial.training,
        "tokens behind its cache get other logits than without": decoding,
    }
    for complaint, way in ways.items():
        try:
            worst = way()
        except Exception as error:
            return f"{complaint}: {words(error)}"
        if worst > TOLERANCE:
            return f"{complaint} (by {worst:.1g})"
    return None


def _abilities(trial: Trial, packs: bool) -> dict[str, bool]:
    """What else a tiny LLM can do as it is set: prompts of several lengths, several tokens at once."""
    abilities = {}
    for name, numbers, steps in (("pads", _ALL, (1, 1)), ("spans", _ONE_LENGTH, (1, 2))):
        try:
            worst = _decoding(trial, trial.llm.config._attn_implementation, packs, numbers, steps)
        except Exception:  # whatever the class raises: it cannot
            worst = float("inf")
        abilities[name] = worst <= TOLERANCE
    return abilities


def _decoding(trial: Trial, attention: str, packs: bool, numbers: Sequence[int], steps: Sequence[int]) -> float:
    """Decoding, compared with the class's forward; where these differ in the class itself, with its own `generate`."""
    worst = trial.decoding(packs=packs, numbers=numbers, steps=steps)
    if worst > TOLERANCE and trial.replies is None:
        trial.llm.set_attn_implementation("eager")
        generated = trial.as_generated()
        trial.llm.set_attn_implementation(attention)
        worst = generated.decoding(packs=packs, numbers=numbers, steps=steps)
    return worst


def built(family: type[PreTrainedModel], form: PreTrainedConfig) -> PreTrainedModel:
    """A tiny LLM whose weights, biases and sinks all matter.

    Raises:
        PartError: It would not be tiny.
    """
    with torch.device("meta"), hub.building(f"a tiny {family.__name__}"):
        size = sum(parameter.numel() for parameter in family(form).parameters())
    if size > _LARGEST:
        raise PartError(f"it would have {size:,} parameters")
    llm = family(form).float().eval()
    for parameter in llm.parameters():
        spread = 0.1 if parameter.ndim < 2 else max(1, parameter[0].numel()) ** -0.5
        parameter.add_(torch.randn_like(parameter), alpha=spread)
    return llm


@contextmanager
def apart() -> Iterator[None]:
    """On the CPU, without gradients, network and noise, and with random states of its own."""
    verbosity, offline = logging.get_verbosity(), huggingface_hub.constants.HF_HUB_OFFLINE
    with torch.device("cpu"), torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.set_verbosity_error()
        huggingface_hub.constants.HF_HUB_OFFLINE = True
        torch.manual_seed(0)
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            huggingface_hub.constants.HF_HUB_OFFLINE = offline


def said(form: PreTrainedConfig) -> dict[str, Any]:
    """A configuration without where it came from."""
    return {name: value for name, value in form.to_dict().items() if name not in ("_name_or_path", "dtype")}


def words(error: Exception) -> str:
    """An error in a line."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= 200 else f"{line[:200]} ..."
