"""From media to items: what a system does with a medium, and what it takes to make it ready."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from modalink import modalities, prompts
from modalink.conversation import Conversation, Medium, Turn, Unmade, Use
from modalink.errors import PromptError
from modalink.model.items import Item, Reading, Shown, named_after
from modalink.model.media_text import MediaText
from modalink.recipe import SystemSpec
from modalink.roles import MediumHandle, Preprocessor

NOTHING = Shown()


@dataclass
class SampleItems:
    """The items of one sample, as they are found.

    Args:
        sample: What errors call the sample.
        seed: Decides what training draws of media; None: nothing is drawn.
        show: What is shown of media beside the sample.
        counts: How many media of each modality the sample reads.
        media: What is read, by modality.
        targets: What is made, by modality.
    """

    sample: str
    seed: int | None = None
    show: Shown = NOTHING
    counts: Mapping[str, int] = field(default_factory=dict)
    media: dict[str, list[Item]] = field(default_factory=dict)
    targets: dict[str, list[Item]] = field(default_factory=dict)


class ItemMaker:
    """Makes items for the encoders and generators of one system.

    Args:
        spec: The system's parts.
        tokenizer: The LLM's tokenizer.
        text: How the system writes media.
    """

    def __init__(self, spec: SystemSpec, tokenizer: PreTrainedTokenizerBase, text: MediaText) -> None:
        self.spec, self.tokenizer, self.text = spec, tokenizer, text
        self.readers: dict[str, Preprocessor] = {m: spec.encoder(m).preprocessor() for m in spec.inputs}
        self.makers: dict[str, Preprocessor] = {m: out.generator.preprocessor() for m, out in spec.signalled.items()}

    def use(self, sample: str, turn: Turn, medium: Medium) -> Use:
        """What the system does with a medium of a turn.

        Raises:
            PromptError: It has no encoder or generator for it; the sample is named.
        """
        try:
            return medium.use_in(turn.role, self.spec.inputs, self.spec.outputs)
        except PromptError as error:
            raise PromptError(f"{sample}: {error}") from None

    def counts(self, conversation: Conversation) -> Counter[str]:
        """How many media of each modality are read in a conversation."""
        media = conversation.media()
        return Counter(m.modality for turn, m in media if self.use(conversation.id, turn, m) != "made")

    def add(self, medium: Medium, turn: Turn, found: SampleItems) -> None:
        """Add a medium of a turn to the items of its sample, as what is read, what is made, or both.

        Raises:
            MediumError: It cannot be opened; the sample is named.
        """
        name, use = medium.modality, self.use(found.sample, turn, medium)
        if use == "made" and name not in self.makers:
            return  # it says what the reply's words say
        wanted = found.show.targets and turn.loss and name in self.readers
        if medium.source is Unmade.UNMADE:
            item = Item.to_make(found.sample, name, medium.caption, loss=turn.loss)
            if wanted:
                item.load()  # which says that there is nothing to show
            found.targets.setdefault(name, []).append(item)
            return
        with named_after(found.sample):
            handle = modalities.get(name).open(medium.source)
            digest = handle.digest
        if use != "read" and name in self.makers:
            make = self.makers[name]
            load = Reading(handle, make, found.sample)
            seen = self.read(name, handle, "", found.sample) if wanted else None
            item = Item(make.layout(handle), digest, load, caption=medium.caption, loss=turn.loss, shown=seen)
            found.targets.setdefault(name, []).append(item)
        if use != "made":
            among = found.counts.get(name, 1)
            item = self.read(name, handle, turn.text, found.sample, medium.caption, found.seed, among)
            if found.show.captions is not None and medium.caption:
                item = replace(item, shown=self._sentence(found.show.captions, medium.caption, found.sample))
            found.media.setdefault(name, []).append(item)

    def open(self, modality: str, source: Any, said: str = "", sample: str = "reply", among: int = 1) -> Item:
        """A medium that is read, from its source; arguments and errors as for `read`."""
        return self.read(modality, modalities.get(modality).open(source), said, sample, among=among)

    def read(
        self,
        modality: str,
        handle: MediumHandle,
        said: str,
        sample: str,
        caption: str | None = None,
        seed: int | None = None,
        among: int = 1,
    ) -> Item:
        """A medium that is read.

        Args:
            modality: Its modality, which has an encoder.
            handle: The medium.
            said: What is said beside it, for projectors that read it.
            sample: What errors call its sample.
            caption: What describes it, for projectors that learn it.
            seed: Decides what is drawn of it; None: nothing is drawn.
            among: How many media of the modality are read in its text.

        Raises:
            MediumError: Its header cannot be read; the sample is named.
        """
        reader, digest, projector = self.readers[modality], handle.digest, self.spec.projector(modality)
        if (one_of_several := reader.among(among)) is not reader:
            reader, digest = one_of_several, hashlib.sha256(f"{digest}/one of several".encode()).hexdigest()
        if seed is not None and (drawing := reader.seeded(seed)) is not reader:
            reader, digest = drawing, hashlib.sha256(f"{digest}/{seed}".encode()).hexdigest()
        with named_after(sample):
            layout = reader.layout(handle)
        text = tuple(projector.text_ids(said, prompts.reader(said, self.tokenizer))) if projector.reads_text else ()
        words: tuple[int, ...] = ()
        if projector.learns_captions and caption:
            words = tuple(projector.caption_ids(caption, prompts.reader(caption, self.tokenizer)))
        tokens, load = self.text.num_tokens(modality, layout), Reading(handle, reader, sample)
        return Item(layout, digest, load, tokens=tokens, caption=caption, text=text, words=words)

    def _sentence(self, modality: str, caption: str, sample: str) -> Item:
        """A caption as a medium of its own."""
        record = modalities.get(modality)
        assert record.from_text is not None
        return self.read(modality, record.open(record.from_text(caption), sample), "", sample)
