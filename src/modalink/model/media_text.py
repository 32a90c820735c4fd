"""What stands in a conversation's text for its media: placeholders with the recipe's marks, and signal tokens."""

from collections.abc import Mapping, Sequence

from transformers import PreTrainedTokenizerBase

from modalink import modalities
from modalink.conversation import Use
from modalink.model.assembly import Tokens, signal_spellings
from modalink.model.expansion import Expanded, ItemText, expand
from modalink.model.items import Item
from modalink.model.places import places_of
from modalink.ragged import Layout
from modalink.recipe import SystemSpec


class MediaText:
    """How one system writes media.

    Args:
        spec: The system's parts.
        tokenizer: The LLM's tokenizer; the system's own tokens are added to it.
    """

    def __init__(self, spec: SystemSpec, tokenizer: PreTrainedTokenizerBase) -> None:
        self.spec, self.tokenizer = spec, tokenizer
        self.tokens = Tokens.add(spec, tokenizer)
        self._written = {
            m: ItemText(self.tokens.placeholders[m], chosen.marks, self._ids, spec.join.vectors)
            for m, chosen in spec.inputs.items()
        }

    def spelled(self, modality: str, use: Use) -> str:
        """What a rendered conversation says for a medium: its signal tokens where it is made, before what is read."""
        made = signal_spellings(modality, self.spec.outputs[modality].signal_tokens) if use != "read" else ()
        return "".join(made) + (modalities.get(modality).placeholder if use != "made" else "")

    def layout(self, modality: str, item: Layout) -> Layout:
        """How the places lie that stand for an item of such units; known before anything is encoded.

        Where prompt tokens are spliced into the text, these are their places.
        """
        prompt = self.spec.projector(modality).layout(self.spec.encoder(modality).layout(item))
        return self.spec.join.places(prompt)

    def num_tokens(self, modality: str, item: Layout) -> int:
        """How many tokens stand for an item, without its marks."""
        return self.layout(modality, item).tokens + sum(self.spec.join.vectors)

    def expand(self, ids: Sequence[int], labels: Sequence[int], media: Mapping[str, list[Item]]) -> Expanded:
        """Tokens with one placeholder an item, items spelled out; of a run of signal tokens the first is learned."""
        items = {
            token: [self._written[m].ids(self.layout(m, item.layout)) for item in media.get(m, ())]
            for m, token in self.tokens.placeholders.items()
        }
        given = {token: n > 0 for run in self.tokens.signals.values() for n, token in enumerate(run)}
        return expand(ids, labels, items, given, first=self.spec.join.media_first)

    def places(self, ids: Sequence[int], media: Mapping[str, list[Item]]) -> dict[str, list[list[int]]]:
        """The places of each item in expanded tokens, by modality."""
        return {
            m: [*places_of(ids, [self.tokens.placeholders[m]], [item.tokens for item in items])]
            for m, items in media.items()
        }

    def signals(self, spoken: Sequence[int]) -> dict[str, list[list[int]]]:
        """The places of each run of signal tokens, by modality."""
        runs = self.tokens.signals.items()
        return {m: [*places_of(spoken, run, [len(run)] * spoken.count(run[0]))] for m, run in runs}

    def least_tokens(self, media: Mapping[str, list[Item]], targets: Mapping[str, list[Item]]) -> int:
        """How many tokens media that are read and media to be made take, without marks."""
        made = sum(len(self.tokens.signals[modality]) * len(items) for modality, items in targets.items())
        return made + sum(item.tokens for items in media.values() for item in items)

    def _ids(self, text: str) -> list[int]:
        """Tokens of a text inside others."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids if text else []
        return ids
