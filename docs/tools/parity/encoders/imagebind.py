"""ImageBind: the numbers of the original code, facebookresearch/ImageBind@53680b0, for seeded weights.

They were made so: `ImageBindModel` with the sizes of `testing.checkpoints.tiny_imagebind`, given as its keywords, in
evaluation mode; each tensor of its state dict set to the one that `tiny_imagebind` draws for the name that
`modalink.encoders._imagebind.NAMES` makes of it; then, of each input below, what `forward` gives (`embedding`, and of
one picture and of two clips together `picture` and `clips`), and of what `modality_trunks` gives the first three tokens
and the last (`tokens`).
"""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from modalink.encoders import _imagebind
from modalink.encoders._imagebind import Architecture
from modalink.encoders.imagebind import ImageBindConfig
from modalink.ragged import Layout, Ragged
from modalink.testing import checkpoints

TOLERANCE = 1e-5
"""The original computes attention in another order."""
NUMBERS = Path(__file__).with_suffix(".json")
TOKENS = [0, 1, 2, -1]


def units(tower: str) -> Tensor:
    """Two units of a tower, the same in every process."""
    form = Architecture().forms()[tower]
    generator = torch.Generator().manual_seed(0)
    if tower == "text":
        ids = torch.randint(1, 40_000, (2, *form.unit), generator=generator)
        ids[:, 0], ids[0, 9], ids[0, 10:], ids[1, 76] = 49_406, 49_407, 0, 49_407
        return ids
    return torch.randn(2, *form.unit, generator=generator)


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Every tower alone; a picture, a video and a sound as an encoder reads them."""
    place = checkpoints.tiny_imagebind(folder)
    numbers = {
        name: {k: torch.tensor(v) for k, v in own.items()} for name, own in json.loads(NUMBERS.read_text()).items()
    }
    architecture = Architecture.model_validate_json((place / "config.json").read_text())
    network = _imagebind.towers(architecture, architecture.forms())
    weights = load_file(place / "model.safetensors")
    network.load_state_dict({name.removeprefix("towers."): tensor for name, tensor in weights.items()})
    for name, tower in network.items():
        given = units(name)
        tokens = tower(given)
        places = given.argmax(1) if name == "text" else None
        yield f"the original's {name} tower, tokens", tokens[:, TOKENS], numbers[name]["tokens"]
        yield f"the original's {name} tower, embedding", tower.embedded(tokens, places), numbers[name]["embedding"]
    both, one = Layout.of_units(2), Layout.of_units(1)
    pictures = Ragged.of([units("vision")[:1, :, 0]], [one])
    videos, sounds = (Ragged.of([units(name)], [both]) for name in ("vision", "audio"))
    words = Ragged(units("text").float(), (1, 1), (one, one))
    encoder = ImageBindConfig(checkpoint=str(place)).build()
    yield "the original of a picture", encoder.for_modality("image")(pictures).values, numbers["vision"]["picture"]
    yield "the original of a video's clips", encoder.for_modality("video")(videos).values, numbers["vision"]["clips"]
    spoken = ImageBindConfig(checkpoint=str(place), modalities=("sentence",)).build()(words)
    yield "the original of two sentences", spoken.values, numbers["text"]["embedding"]
    yield "the original of a sound's clips", encoder.for_modality("audio")(sounds).values, numbers["audio"]["clips"]
