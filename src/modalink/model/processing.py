"""From conversations to what the model reads, and for training to labels and targets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin

from modalink import modalities, prompts
from modalink.conversation import Conversation, Medium, Turn
from modalink.errors import CheckpointError, PromptError
from modalink.model.assembly import signal_spellings
from modalink.model.configuration import spec_of
from modalink.model.describing import described
from modalink.model.filled_texts import filled_texts, packed
from modalink.model.item_making import NOTHING, ItemMaker, SampleItems
from modalink.model.items import Shown
from modalink.model.media_text import MediaText
from modalink.model.own_folder import resolved
from modalink.model.prepared import IGNORED, Prepared
from modalink.model.regions import Regions
from modalink.model.reply import Reply
from modalink.model.room import no_room, places_within
from modalink.model.shortening import LongestToken, shortened
from modalink.model.telling import told
from modalink.ragged import Layout
from modalink.recipe import SystemSpec


class ModalinkProcessor(ProcessorMixin):
    """Tokenizer, prompt template and preprocessing of one composed system.

    Args:
        tokenizer: The LLM's tokenizer; the system's own tokens are added to it.
        spec: The system's parts, as a `SystemSpec` or its data.
        chat_template: A Jinja chat template instead of the prompt template's own.
        encoder_decoder: Whether labels belong to a decoder of their own.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        spec: SystemSpec | dict[str, Any],
        chat_template: str | None = None,
        encoder_decoder: bool = False,
    ) -> None:
        spec = spec if isinstance(spec, SystemSpec) else spec_of(spec)
        template = prompts.get(spec.prompt.template, tokenizer)
        self.template = template if spec.prompt.system is None else template.replace(system=spec.prompt.system)
        signals = {
            block: "".join(signal_spellings(m, output.signal_tokens))
            for m, output in spec.outputs.items()
            for block in modalities.block_types(m)
        }
        given = {block: modalities.get(m).placeholder for m in spec.inputs for block in modalities.block_types(m)}
        super().__init__(tokenizer, chat_template=chat_template or self.template.jinja(given, signals))
        self.spec = spec
        self.encoder_decoder = encoder_decoder
        self._longest_token = LongestToken(tokenizer)
        self.media_text = MediaText(spec, tokenizer)
        self.tokens = self.media_text.tokens
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
        self.item_maker = ItemMaker(spec, tokenizer, self.media_text)
        self.readers, self.makers = self.item_maker.readers, self.item_maker.makers
        codec = None if spec.prompt.coordinates is None else prompts.codec(spec.prompt.coordinates)
        self.regions = Regions(codec, self.readers, self.item_maker.use)
        for modality, token in self.tokens.placeholders.items():  # `image_token`, ... as processors of transformers
            setattr(self, f"{modality}_token", modalities.get(modality).placeholder)
            setattr(self, f"{modality}_token_id", token)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that calls return."""
        return ["input_ids", "attention_mask", *(modalities.get(m).argument for m in self.spec.inputs)]

    def to_dict(self) -> dict[str, Any]:
        """What `from_pretrained` needs besides the tokenizer."""
        return {
            "processor_class": type(self).__name__,
            "spec": self.spec.model_dump(mode="json"),
            "encoder_decoder": self.encoder_decoder,
        }

    @classmethod
    def get_processor_dict(cls, folder: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The content of `processor_config.json`; parts in the same folder are told by their paths."""
        data, rest = super().get_processor_dict(folder, **kwargs)
        return resolved(data, folder, kwargs.get("subfolder") or ""), rest

    @classmethod
    def from_args_and_dict(cls, args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> "ModalinkProcessor":
        """The processor that `to_dict` described, around a loaded tokenizer."""
        if "spec" not in processor_dict:
            raise CheckpointError("processor_config.json says no spec, needed that of a system that was saved")
        settings = {"spec": processor_dict["spec"], "encoder_decoder": bool(processor_dict.get("encoder_decoder"))}
        settings["chat_template"] = kwargs.get("chat_template", processor_dict.get("chat_template"))
        return cls(*args, **settings)

    def prepare(
        self,
        conversation: Conversation,
        *,
        max_tokens: int | None = None,
        template: str | None = None,
        reply: bool = False,
        seed: int | None = None,
        show: Shown = NOTHING,
    ) -> Prepared:
        """Make one sample ready.

        Args:
            conversation: The sample. Media are read by encoders, made by generators, or both, see `Medium.use_in`; of
                one that is both, the signal tokens stand before what is read.
            max_tokens: Longest sequence; text beyond it is cut from the end, media never are. Text far beyond it is cut
                before it is tokenised, so that the tokens it would have made are not counted.
            template: Prompt template for this sample instead of the system's.
            reply: End with the start of the assistant's turn, ready for generation.
            seed: Decides what training draws of media, such as the frames of a video; None: nothing is drawn.
            show: What is shown of media beside the sample.

        Raises:
            MediumError: A medium cannot be read.
            PromptError: A medium has no encoder or generator, media alone exceed `max_tokens`, or a region cannot be
                written.
        """
        conversation = self._in_words(self._learned(conversation, reply), captions=show.captions is not None)
        chosen = self.template if template is None else prompts.get(template, self.tokenizer)
        said = Reply.of(conversation) if self.encoder_decoder and not reply else None
        question, asks = conversation if said is None else said.question, reply or said is not None
        limited = question if max_tokens is None else shortened(question, max_tokens, self._longest_token, whole=asks)
        place = partial(self._place, conversation.id)
        rendered = chosen.render(limited, place, system=self.spec.prompt.system, reply=asks)
        rendered = rendered if said is None else said.behind(rendered)
        tokenized = prompts.tokenize(rendered, self.tokenizer)
        found = SampleItems(conversation.id, seed, show, self.item_maker.counts(conversation))
        for number, (*_, medium, turn) in enumerate(rendered.media, start=1):
            self.item_maker.add(medium, turn, found)
            taken = self.media_text.least_tokens(found.media, found.targets)
            if max_tokens is not None and taken >= max_tokens:
                few = f"the first {number} of " if number < len(rendered.media) else ""
                raise no_room(conversation.id, f"{few}its media", taken, max_tokens)
        expanded = self.media_text.expand(tokenized.input_ids, tokenized.labels, found.media)
        labels = expanded.labels if said is None else self._answer_labels(said.answer, found)
        stay = places_within(expanded, max_tokens, conversation.id)
        input_ids, cut = [expanded.ids[place] for place in stay], len(expanded.ids) - len(stay)
        labels = labels if self.encoder_decoder else [labels[place] for place in stay]
        if limited is not question and not cut:
            raise PromptError(
                f"{conversation.id}: its {sum(len(turn.text) for turn in question.turns):,} characters are too many to "
                f"be tokenised, and those that are read make fewer than {max_tokens} tokens; shorten its texts"
            )
        places = self.media_text.places(input_ids, found.media)
        signals = self.media_text.signals([IGNORED, *labels] if self.encoder_decoder else input_ids)
        return Prepared(conversation.id, input_ids, labels, found.media, found.targets, places, signals, cut)

    def _learned(self, conversation: Conversation, reply: bool) -> Conversation:
        """A conversation with its turns marked as they are learned: for a prefix LM the last alone.

        Earlier replies stand in the prefix, and see themselves.
        """
        if reply or not self.spec.llm.reads_both_ways:
            return conversation
        *before, last = conversation.turns
        return Conversation((*(replace(turn, loss=False) for turn in before), last), conversation.id)

    def _in_words(self, conversation: Conversation, captions: bool) -> Conversation:
        """A conversation with all that becomes text as text: regions, and what its media say of themselves."""
        use = partial(self.item_maker.use, conversation.id)
        conversation = self.regions.written(conversation)
        conversation = told(conversation, lambda turn, medium: use(turn, medium) != "made")
        if not captions and not any(projector.learns_captions for projector in self.spec.projectors().values()):
            return conversation
        return described(conversation, lambda turn, medium: use(turn, medium) == "read")

    def __call__(
        self,
        conversation: Conversation | Sequence[Mapping[str, Any]] | None = None,
        text: str | list[str] | None = None,
        *,
        reply: bool = True,
        **kwargs: Any,
    ) -> BatchFeature:
        """Model inputs for a conversation, or for text with placeholders and the media that fill them.

        Args:
            conversation: A conversation or its messages.
            text: Instead of it, one rendered prompt or several, each with one placeholder a medium.
            reply: Whether the conversation's prompt ends with the start of the assistant's turn.
            kwargs: Media for the placeholders of `text` under their modality's plural (`images=`): one, a list, or a
                list a text; options of the tokenizer, and `return_tensors`.

        Returns:
            `input_ids`, `attention_mask` and the items under the argument names of their modalities.
        """
        if conversation is not None:
            return self._from_conversation(conversation, reply)
        if text is None:
            raise PromptError("found neither text nor a conversation; give one of them")
        return filled_texts([text] if isinstance(text, str) else list(text), self.item_maker, kwargs)

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """As the tokenizer's."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args: Any, **kwargs: Any) -> str:
        """As the tokenizer's."""
        return self.tokenizer.decode(*args, **kwargs)

    def _from_conversation(self, conversation: Any, reply: bool) -> BatchFeature:
        if not isinstance(conversation, Conversation):
            conversation = Conversation.from_messages(conversation)
        sample = self.prepare(conversation, reply=reply)
        data: dict[str, Any] = {
            "input_ids": torch.tensor([sample.input_ids]),
            "attention_mask": torch.ones(1, len(sample.input_ids), dtype=torch.long),
        }
        return BatchFeature(data | packed(sample.media))

    def _place(self, sample: str, turn: Turn, medium: Medium) -> str:
        return self.media_text.spelled(medium.modality, self.item_maker.use(sample, turn, medium))

    def check_readable(self, modality: str, source: Any) -> None:
        """Demand that a medium can be read in a prompt, down to its units.

        Raises:
            MediumError: Its encoder's preprocessing cannot read it, for example because it is too short.
            PromptError: The system reads no such media.
        """
        if modality not in self.readers:
            raise PromptError(f"found a medium of modality {modality!r} to read; this system reads "
                              f"{', '.join(self.readers) or 'text only'}")  # fmt: skip
        self.item_maker.open(modality, source).load()

    def medium_prompt(self, modality: str, source: Any, said: str = "", among: int = 1) -> Prepared:
        """What stands for a medium where it is read: its marks and prompt tokens alone, behind what was said.

        Args:
            modality: Its modality, which the system reads.
            source: The medium.
            said: The words of its turn, for projectors that read them.
            among: How many media of the modality are read in the conversation.

        Raises:
            MediumError: It cannot be read.
        """
        media = {modality: [self.item_maker.open(modality, source, said, among=among)]}
        ids = self.media_text.expand([self.tokens.placeholders[modality]], [IGNORED], media).ids
        return Prepared("reply", ids, [IGNORED] * len(ids), media=media, places=self.media_text.places(ids, media))

    def prompt_layout(self, modality: str, item: Layout) -> Layout:
        """How the places lie that stand for an item of such units; known before anything is encoded.

        Where prompt tokens are spliced into the text, these are their places.
        """
        return self.media_text.layout(modality, item)

    def _answer_labels(self, answer: Turn, found: SampleItems) -> list[int]:
        """What the decoder of an encoder-decoder says; media of the answer are added to what is made."""
        media = [piece for piece in answer.content if isinstance(piece, Medium)]
        for medium in media:
            if (use := self.item_maker.use(found.sample, answer, medium)) != "made":
                raise PromptError(
                    f"{found.sample}: the reply holds a medium of modality {medium.modality!r} that is {use}; the "
                    "decoder of an encoder-decoder can only make media: put it before the reply, or make it"
                )
            self.item_maker.add(medium, answer, found)
        page = prompts.Page(partial(self._place, found.sample))
        page.content(answer, answer.content)
        written = prompts.Rendered(page.text, found.sample, written=page.written)
        ids = prompts.tokenize(written, self.tokenizer, frame=True).input_ids
        end = self.tokenizer.eos_token_id
        return ids if ids[-1:] == [end] else [*ids, end]
