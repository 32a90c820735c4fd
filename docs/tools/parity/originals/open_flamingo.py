"""OpenFlamingo in four LLMs: the numbers of mlfoundations/open_flamingo@655f693, read by open_clip v2.20.0's tower.

The numbers were made so: `Flamingo` of open_flamingo/src/flamingo.py with `cross_attn_every_n_layers=2` over
`VisionTransformer` of open_clip (as OpenAI's, with `QuickGELU` and `output_tokens`) and the LLM of transformers 5.23.0,
whose table was made longer by the two tokens of open_flamingo/src/factory.py; the LLM and the tower are those in the
folders of `tiny_open_flamingo`, and `load_state_dict` put its `checkpoint.pt` on them. `image_transform(28,
is_train=False)` of open_clip read the pictures. `open_flamingo.json` has, of each text, the logits of all its tokens
for every 24th token of the vocabulary and the two new ones, to six places; of LLaMA without these, whose rows in the
head the authors do not save.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from modalink.interop.importing import recipe_of
from modalink.model import compose
from modalink.testing.released_open_flamingo import TEXTS, pictures, tiny_open_flamingo

TOLERANCE = 1e-5
"""The reference computes attention in another order."""
_LLMS = {"gpt_neox": "GPT-NeoX", "mpt": "MPT", "opt": "OPT", "llama": "LLaMA"}


def compare(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """An image before a question, and text, answered images and a question in a row."""
    numbers = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    for family, name in _LLMS.items():
        found = tiny_open_flamingo(folder / family, family)
        system = compose(recipe_of(str(found.checkpoint), llm=str(found.llm), encoder=str(found.encoder)))
        columns = [*range(0, 384, 24), *([] if family == "llama" else [384, 385])]
        ours, theirs = [], []
        for what, (text, chosen) in TEXTS.items():
            images = [Image.fromarray(pictures()[number]) for number in chosen]
            logits = system.model(**system.processor(text=[text], images=images, return_tensors="pt")).logits
            ours.append(logits[0, :, columns].flatten())
            theirs.append(torch.tensor(numbers[family][what]).flatten())
        parts = f"`vision` (clip), `perceiver`, `gated_cross_attention`, {name} with a `vocabulary`"
        yield f"OpenFlamingo's code: {parts}; {', '.join(TEXTS)}", torch.cat(ours), torch.cat(theirs)
