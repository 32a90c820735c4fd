"""What a Q-Former has to learn from captions with (arXiv 2301.12597, section 3.2), and which parameters that reads.

The text is compared with the best of the queries (contrast), queries that see it say whether it belongs to the picture
(matching), and words are written one after the other, seeing queries and earlier words (writing).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modalink.roles import Compared

OF_WORDS = r"q_former\.(words\.|blocks\.encoder\.layer\.\d+\.(intermediate|output)\.)"
"""Parameters that words have for themselves."""


class CaptionHeads(nn.Module):
    """Maps behind the blocks; the table of words is also what words are written by.

    Args:
        width: Of the blocks.
        contrast: Width of the space in which pictures and texts are compared.
        vocabulary: Rows of the table of words.
    """

    def __init__(self, width: int, contrast: int, vocabulary: int) -> None:
        super().__init__()
        self.image = nn.Linear(width, contrast)
        self.text = nn.Linear(width, contrast)
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.match = nn.Linear(width, 2)
        self.write = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps=1e-12))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def compared(self, queries: Float[Tensor, "i n d"], texts: Float[Tensor, "j d"]) -> Compared:
        """The queries of pictures, and texts, where they are compared."""
        images = nn.functional.normalize(self.image(queries), dim=-1)
        captions = nn.functional.normalize(self.text(texts), dim=-1)
        return Compared(images, captions, self.temperature)

    def written(self, states: Float[Tensor, "m d"], table: Float[Tensor, "v d"]) -> Float[Tensor, "m v"]:
        """Logits of the next word."""
        logits: Tensor = nn.functional.linear(self.write(states), table, self.bias)
        return logits


def unread(*, layers: int, instruction: bool) -> dict[str, str]:
    """Patterns of the parameters of a Q-Former that each need of an objective leaves alone.

    Args:
        layers: How many blocks it has.
        instruction: Whether its prompt tokens depend on words.
    """
    last = rf"q_former\.blocks\.encoder\.layer\.{layers - 1}\."
    words_end, queries_end = (
        rf"{last}(intermediate|output)\.",
        rf"{last}(intermediate_query|output_query|crossattention)\.",
    )
    return {
        "prompt_tokens": rf"heads\.|{words_end if instruction else OF_WORDS}",
        "contrast": r"exit\.|heads\.(match|write|bias)",
        "matching": rf"exit\.|heads\.(image|text|temperature|write|bias)|{words_end}",
        "writing": rf"exit\.|heads\.(image|text|temperature|match)|{queries_end}",
    }
