"""Sentences as CLIP's towers of words read them: as many token ids for each, what follows the end filled with zeros."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from modalink import hub
from modalink.errors import PartError
from modalink.modalities.sentence import Sentence
from modalink.roles import Preprocessor

_FILES = ("tokenizer.json", "vocab.json")


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer."""
    return any((folder / name).is_file() for name in _FILES)


class SentencePreprocessor(Preprocessor):
    """Sentences to token ids, one unit each; as float32, as units are, which holds numbers below 2^24 exactly.

    Args:
        checkpoint: Folder or hub id of the tokenizer.
        revision: Of the hub id.
        length: Ids of a sentence; a longer one is cut, its end kept.
        vocabulary: The most ids that the tower knows.

    Raises:
        PartError: There is no tokenizer, or none whose last token ends a text.
    """

    def __init__(self, checkpoint: str, revision: str | None, length: int, vocabulary: int) -> None:
        self.checkpoint, self.revision, self.length = checkpoint, revision, length
        self._tokenizer: PreTrainedTokenizerBase = hub.read(
            AutoTokenizer, hub.locate(checkpoint, revision, weights=False)
        )
        count, end = len(self._tokenizer), self._tokenizer.eos_token_id
        if count > vocabulary or end != count - 1:
            raise PartError(
                f"{checkpoint}: found a tokenizer of {count:,} tokens of which number {end} ends a text, needed "
                f"CLIP's: the last of at most {vocabulary:,} ends a text; set tokenizer to it"
            )

    def __call__(self, medium: Sentence) -> Float[torch.Tensor, "1 length"]:
        """The token ids of a sentence, with those that begin and end it."""
        ids = self._tokenizer(
            medium.text,
            truncation=True,
            max_length=self.length,
            split_special_tokens=True,  # what a sentence spells out does not act
        ).input_ids
        return torch.tensor([[*ids, *[0] * (self.length - len(ids))]], dtype=torch.float32)

    def to_dict(self) -> dict[str, Any]:
        """Which tokenizer, and how many ids."""
        return {"kind": "sentence", "tokenizer": [self.checkpoint, self.revision], "length": self.length}
