"""Odd requests to all generators: each ends in a clear error or in a medium that can be read back.

Run: `python tests/generators/odd_requests.py --requests 1000 --seed 1`; with kinds, only those are asked. The requests
are those of `test_odd_requests.py`, which asks some of each kind; here it is as many as wanted, with any seed, of
generators with another way of sampling, too.
"""

import argparse
import random
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

if __package__ in (None, ""):  # run as a script
    sys.path.insert(0, str(Path(__file__).parents[2]))

from modalink import modalities
from modalink.errors import GenerationError, Stopped
from modalink.generators.audioldm import AudioLdmConfig
from modalink.generators.audioldm2 import AudioLdm2Config
from modalink.generators.musicgen import MusicgenConfig
from modalink.generators.speech import SpeechConfig
from modalink.generators.stable_unclip import StableUnclipConfig
from modalink.roles import Conditions, ReadsText
from modalink.testing import pipelines, sound_pipelines, voices
from tests.generators.test_odd_requests import KINDS, NUMBERS, SECONDS, SIZES, TEXTS


def _speecht5(place: Path) -> SpeechConfig:
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "speaker.npy", np.random.default_rng(0).normal(size=(1, 12)))
    return SpeechConfig(
        checkpoint=str(voices.tiny_speecht5(place / "speecht5")),
        vocoder=str(voices.tiny_hifigan(place / "hifigan")),
        speaker=str(place / "speaker.npy"),
    )


MORE: dict[str, Callable[[Path], Any]] = {
    "audioldm": lambda place: AudioLdmConfig(checkpoint=str(sound_pipelines.tiny_audioldm(place))),
    "audioldm2": lambda place: AudioLdm2Config(checkpoint=str(sound_pipelines.tiny_audioldm2(place)), text_tokens=6),
    "musicgen": lambda place: MusicgenConfig(
        checkpoint=str(sound_pipelines.tiny_musicgen(place)), seconds=0.006, text_tokens=10
    ),
    "stable_unclip": lambda place: StableUnclipConfig(checkpoint=str(pipelines.tiny_stable_unclip(place))),
    "speech (SpeechT5)": _speecht5,
    "speech (VITS)": lambda place: SpeechConfig(checkpoint=str(voices.tiny_vits(place))),
}
"""Kinds that the test has not, at tiny size with random weights."""
ALL = KINDS | MORE
LONG = {"steps": (10**6,), "seconds": (1, 2, 2.5, "2", "1 s", 47.6)}
"""What is no odd request to a tiny generator, whose samples last microseconds, but a long one."""


def conditions_of(generator: Any, texts: list[str]) -> Conditions:
    """Conditions of texts; vectors that say nothing of a generator that reads no words."""
    if isinstance(generator, ReadsText):
        made: Conditions = generator.encode_text(texts)
        return made
    shapes = generator.condition_shapes.items()
    return Conditions({n: torch.randn(len(texts), *filter(None, (s.tokens, s.width))) for n, s in shapes})


def odd(generator: Any, chance: random.Random) -> dict[str, Any]:
    """A request with one or two odd things about it."""
    options = sorted(generator.options)
    request: dict[str, Any] = {
        "conditions": conditions_of(generator, [chance.choice(TEXTS)]),
        "rng": [torch.Generator().manual_seed(chance.randrange(9))],
        **{name: value for name, value in (("steps", 2), ("size", 16)) if name in options},
    }
    ways = ["conditions", "negative", "stop", "stop", "other", *["option"] * 2 * bool(options)]
    for _ in range(chance.randint(1, 2)):
        match chance.choice(ways):
            case "conditions":
                request["conditions"] = broken(request["conditions"], chance)
            case "negative":
                request["negative"] = conditions_of(generator, ["x"] * chance.choice([1, 3]))
                request |= {"guidance": chance.choice([0.5, 1.0, 4.0])} if "guidance" in options else {}
            case "stop":
                answers = iter([False] * chance.choice([0, 1, 2]) + [True] * 99)
                request["should_stop"] = partial(next, answers)
            case "option":
                name = chance.choice(options)
                odd_ones = SIZES if name == "size" else [*SECONDS, *NUMBERS] if name == "seconds" else NUMBERS
                request[name] = chance.choice([n for n in odd_ones if n not in LONG.get(name, ())])
            case _:
                request[chance.choice(["rng", "colour", "frames"])] = chance.choice([[], [torch.Generator()] * 2])
    return request


def broken(conditions: Conditions, chance: random.Random) -> Conditions:
    """Conditions with a number that is none, or an id that means nothing, or of another shape."""
    name, values = chance.choice(sorted(conditions.tensors.items()))
    poison = [float("nan"), float("inf")] if values.is_floating_point() else [-1, 2**40]
    poisoned = values.clone()
    if values.numel():
        poisoned.view(-1)[chance.randrange(values.numel())] = chance.choice(poison)
    other = chance.choice([poisoned, values[..., :-1], values[:, :1], values[:, None], torch.cat([values, values], 1)])
    masks = {key: mask for key, mask in conditions.masks.items() if key != name or other.shape[:-1] == mask.shape}
    return Conditions({**conditions.tensors, name: other}, masks if chance.random() < 0.5 else {})


def outcome(generator: Any, chance: random.Random, request: dict[str, Any], record: Any, file: Path) -> str:
    """How a request ends, which is told in `request`.

    Raises:
        Exception: It ends in neither.
    """
    try:
        request |= odd(generator, chance)
        (medium,) = generator.sample(**request)
    except Stopped:
        return "stopped"
    except GenerationError as error:
        if len(str(error)) > 500:
            raise AssertionError(f"an error of {len(str(error))} letters") from error
        return "refused"
    record.write(medium, file)
    record.read(file)
    return "made"


def ask(kind: str, requests: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """How so many requests to a generator end, and what else happened."""
    config = ALL[kind](folder / "parts")
    generator, chance, record = config.build(), random.Random(f"{seed}/{kind}"), modalities.get(min(config.makes()))
    outcomes: Counter[str] = Counter()
    faults = []
    for number in range(requests):
        request: dict[str, Any] = {}
        try:
            outcomes[outcome(generator, chance, request, record, folder / f"{number}{record.written}")] += 1
        except Exception:
            outcomes["fell"] += 1
            faults.append(f"{kind}, request {number}: {request}\n{traceback.format_exc()}")
    return outcomes, faults


def main() -> None:
    """Ask all, print how it went, and end with 1 where a request fell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(ALL)}; all by default")
    parser.add_argument("--requests", type=int, default=1000, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    told = parser.parse_args()
    kinds = told.kinds or [*ALL]
    print(f"seed {told.seed}")
    whole: Counter[str] = Counter()
    for place, kind in enumerate(kinds):
        share = told.requests // len(kinds) + (place < told.requests % len(kinds))
        with tempfile.TemporaryDirectory() as folder:
            outcomes, faults = ask(kind, share, told.seed, Path(folder))
        whole += outcomes
        print(f"{kind}: {dict(outcomes)}", *faults, sep="\n", flush=True)
    print(f"all: {dict(whole)}")
    sys.exit(whole["fell"] > 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
