"""From conversations to what the model reads, and for training to labels and targets."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin

from modalink import modalities, prompts
from modalink.conversation import Conversation, Medium, Turn, Use
from modalink.errors import CheckpointError, PromptError
from modalink.model.arguments import pack
from modalink.model.assembly import Tokens, signal_spellings
from modalink.model.batch import IGNORED, Prepared
from modalink.model.configuration import spec_of
from modalink.model.describing import described
from modalink.model.expansion import Expanded, ItemText, expand
from modalink.model.items import Item, Reading, Shown, named_after, ragged
from modalink.model.items import texts as item_texts
from modalink.model.own_folder import resolved
from modalink.model.places import places_of
from modalink.model.regions import Regions
from modalink.model.reply import Reply
from modalink.model.shortening import LongestToken, shortened
from modalink.model.telling import told
from modalink.ragged import Layout
from modalink.recipe import SystemSpec
from modalink.roles import MediumHandle, Preprocessor

NOTHING = Shown()


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
        self.tokens = Tokens.add(spec, tokenizer)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
        self.readers: dict[str, Preprocessor] = {m: spec.encoder(m).preprocessor() for m in spec.inputs}
        codec = None if spec.prompt.coordinates is None else prompts.codec(spec.prompt.coordinates)
        self.regions = Regions(codec, self.readers, self._use)
        self.makers: dict[str, Preprocessor] = {m: out.generator.preprocessor() for m, out in spec.signalled.items()}
        self.written = {
            m: ItemText(self.tokens.placeholders[m], chosen.marks, self._ids, spec.join.vectors)
            for m, chosen in spec.inputs.items()
        }
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
        media: dict[str, list[Item]] = {}
        targets: dict[str, list[Item]] = {}
        many = self._many(conversation)
        for number, (*_, medium, turn) in enumerate(rendered.media, start=1):
            self._add_item(medium, turn, media, targets, conversation.id, seed, show, many)
            if max_tokens is not None and (taken := self._taken(media, targets)) >= max_tokens:
                few = f"the first {number} of " if number < len(rendered.media) else ""
                raise _no_room(conversation.id, f"{few}its media", taken, max_tokens)
        expanded = self._expand(tokenized.input_ids, tokenized.labels, media)
        if said is not None:
            expanded = replace(expanded, labels=self._answer_labels(said.answer, targets, conversation.id, show))
        input_ids, labels, cut = self._cut(expanded, max_tokens, conversation.id)
        if limited is not question and not cut:
            raise PromptError(
                f"{conversation.id}: its {sum(len(turn.text) for turn in question.turns):,} characters are too many to "
                f"be tokenised, and those that are read make fewer than {max_tokens} tokens; shorten its texts"
            )
        placed = {m: [item.tokens for item in items] for m, items in media.items()}
        places = {m: [*places_of(input_ids, [self.tokens.placeholders[m]], placed[m])] for m in media}
        spoken = [IGNORED, *labels] if self.encoder_decoder else input_ids
        signals = {m: self._runs(spoken, m) for m in self.tokens.signals}
        return Prepared(conversation.id, input_ids, labels, media, targets, places, signals, cut)

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
        conversation = self.regions.written(conversation)
        conversation = told(conversation, lambda turn, medium: self._use(conversation.id, turn, medium) != "made")
        if not captions and not any(projector.learns_captions for projector in self.spec.projectors().values()):
            return conversation
        return described(conversation, lambda turn, medium: self._use(conversation.id, turn, medium) == "read")

    def _runs(self, ids: Sequence[int], modality: str) -> list[list[int]]:
        run = self.tokens.signals[modality]
        count = sum(token == run[0] for token in ids)
        return [*places_of(ids, run, [len(run)] * count)]

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
        return self._from_text([text] if isinstance(text, str) else list(text), kwargs)

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """As the tokenizer's."""
        return self.tokenizer.batch_decode(*args, **kwargs)

    def decode(self, *args: Any, **kwargs: Any) -> str:
        """As the tokenizer's."""
        return self.tokenizer.decode(*args, **kwargs)

    def _ids(self, text: str) -> list[int]:
        """Tokens of a text inside others."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids if text else []
        return ids

    def _from_conversation(self, conversation: Any, reply: bool) -> BatchFeature:
        if not isinstance(conversation, Conversation):
            conversation = Conversation.from_messages(conversation)
        sample = self.prepare(conversation, reply=reply)
        data: dict[str, Any] = {
            "input_ids": torch.tensor([sample.input_ids]),
            "attention_mask": torch.ones(1, len(sample.input_ids), dtype=torch.long),
        }
        return BatchFeature(data | _packed(sample.media))

    def _from_text(self, texts: list[str], kwargs: dict[str, Any]) -> BatchFeature:
        kwargs = {k: v for k, v in kwargs.items() if v is not None}
        records = [modalities.get(m) for m in self.spec.inputs]
        given = {record.name: _flat(kwargs.pop(record.plural, None)) for record in records}
        as_tensors = kwargs.pop("return_tensors", None)
        padding, side = kwargs.pop("padding", False), kwargs.pop("padding_side", self.tokenizer.padding_side)
        kwargs.pop("return_mm_token_type_ids", None)
        rows = self.tokenizer(texts, **kwargs)["input_ids"]
        for record in records:
            found = sum(row.count(self.tokens.placeholders[record.name]) for row in rows)
            if found != len(given[record.name]):
                raise PromptError(
                    f"found {found} {record.name} placeholders in {len(texts)} texts and {len(given[record.name])} "
                    f"{record.plural}; needed as many"
                )
        waiting = {m: iter(sources) for m, sources in given.items()}
        items: dict[str, list[Item]] = {}
        ids = []
        for row, text in zip(rows, texts, strict=True):
            own = {m: self._items_of(row, m, waiting[m], text) for m in given}
            ids.append(self._expand(row, [IGNORED] * len(row), own).ids)
            for m, made in own.items():
                items.setdefault(m, []).extend(made)
        data: dict[str, Any] = self.tokenizer.pad(
            {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]},
            padding=padding,
            padding_side=side,
            return_tensors=as_tensors,
        )
        return BatchFeature(dict(data) | _packed(items))

    def _items_of(self, row: list[int], modality: str, sources: Iterator[Any], text: str) -> list[Item]:
        opened = modalities.get(modality).open
        count = row.count(self.tokens.placeholders[modality])
        for other in self.spec.inputs:  # what is said beside a medium has no signs of media in it
            text = text.replace(modalities.get(other).placeholder, "")
        return [self._item(modality, opened(source), text, "text", among=count) for source in islice(sources, count)]

    def _place(self, sample: str, turn: Turn, medium: Medium) -> str:
        use, name = self._use(sample, turn, medium), medium.modality
        signals = "".join(signal_spellings(name, self.spec.outputs[name].signal_tokens)) if use != "read" else ""
        return signals + (modalities.get(name).placeholder if use != "made" else "")

    def _use(self, sample: str, turn: Turn, medium: Medium) -> Use:
        try:
            return medium.use_in(turn.role, self.spec.inputs, self.spec.outputs)
        except PromptError as error:
            raise PromptError(f"{sample}: {error}") from None

    def _many(self, conversation: Conversation) -> Counter[str]:
        """How many media of each modality are read in a conversation."""
        media = conversation.media()
        return Counter(m.modality for turn, m in media if self._use(conversation.id, turn, m) != "made")

    def _add_item(
        self,
        medium: Medium,
        turn: Turn,
        media: dict[str, list[Item]],
        targets: dict[str, list[Item]],
        sample: str,
        seed: int | None = None,
        show: Shown = NOTHING,
        many: Mapping[str, int] | None = None,
    ) -> None:
        name, use = medium.modality, self._use(sample, turn, medium)
        if use == "made" and name not in self.makers:
            return  # it says what the reply's words say
        with named_after(sample):
            handle = modalities.get(name).open(medium.source)
            digest = handle.digest
        if use != "read" and name in self.makers:
            make = self.makers[name]
            load = Reading(handle, make, sample)
            wanted = show.targets and turn.loss and name in self.readers
            seen = self._item(name, handle, "", sample) if wanted else None
            item = Item(make.layout(handle), digest, load, caption=medium.caption, loss=turn.loss, shown=seen)
            targets.setdefault(name, []).append(item)
        if use != "made":
            item = self._item(name, handle, turn.text, sample, medium.caption, seed, (many or {}).get(name, 1))
            if show.captions is not None and medium.caption:
                item = replace(item, shown=self._sentence(show.captions, medium.caption, sample))
            media.setdefault(name, []).append(item)

    def _item(
        self,
        modality: str,
        handle: MediumHandle,
        said: str,
        sample: str,
        caption: str | None = None,
        seed: int | None = None,
        among: int = 1,
    ) -> Item:
        """A medium that is read, one of so many in its text, with what is said beside it."""
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
        tokens = self.prompt_layout(modality, layout).tokens + sum(self.spec.join.vectors)
        load = Reading(handle, reader, sample)
        return Item(layout, digest, load, tokens=tokens, caption=caption, text=text, words=words)

    def check_readable(self, modality: str, source: Any) -> None:
        """Demand that a medium can be read in a prompt, down to its units.

        Raises:
            MediumError: Its encoder's preprocessing cannot read it, for example because it is too short.
            PromptError: The system reads no such media.
        """
        if modality not in self.readers:
            raise PromptError(f"found a medium of modality {modality!r} to read; this system reads "
                              f"{', '.join(self.readers) or 'text only'}")  # fmt: skip
        self._item(modality, modalities.get(modality).open(source), "", "reply").load()

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
        item = self._item(modality, modalities.get(modality).open(source), said, "reply", among=among)
        token = self.tokens.placeholders[modality]
        ids = self._expand([token], [IGNORED], {modality: [item]}).ids
        places = [*places_of(ids, [token], [item.tokens])]
        return Prepared("reply", ids, [IGNORED] * len(ids), media={modality: [item]}, places={modality: places})

    def _sentence(self, modality: str, caption: str, sample: str) -> Item:
        """A caption as a medium of its own."""
        record = modalities.get(modality)
        assert record.from_text is not None
        return self._item(modality, record.open(record.from_text(caption), sample), "", sample)

    def prompt_layout(self, modality: str, item: Layout) -> Layout:
        """How the places lie that stand for an item of such units; known before anything is encoded.

        Where prompt tokens are spliced into the text, these are their places.
        """
        prompt = self.spec.projector(modality).layout(self.spec.encoder(modality).layout(item))
        return self.spec.join.places(prompt)

    def _expand(self, ids: Sequence[int], labels: Sequence[int], media: Mapping[str, list[Item]]) -> Expanded:
        items = {
            token: [self.written[m].ids(self.prompt_layout(m, item.layout)) for item in media.get(m, ())]
            for m, token in self.tokens.placeholders.items()
        }
        given = {token: n > 0 for run in self.tokens.signals.values() for n, token in enumerate(run)}
        return expand(ids, labels, items, given, first=self.spec.join.media_first)

    def _taken(self, media: Mapping[str, list[Item]], targets: Mapping[str, list[Item]]) -> int:
        """How many tokens these items take at least."""
        made = sum(len(self.tokens.signals[modality]) * len(items) for modality, items in targets.items())
        return made + sum(item.tokens for items in media.values() for item in items)

    def _answer_labels(self, answer: Turn, targets: dict[str, list[Item]], sample: str, show: Shown) -> list[int]:
        media = [piece for piece in answer.content if isinstance(piece, Medium)]
        for medium in media:
            if (use := self._use(sample, answer, medium)) != "made":
                raise PromptError(
                    f"{sample}: the reply holds a medium of modality {medium.modality!r} that is {use}; the decoder of "
                    "an encoder-decoder can only make media: put it before the reply, or make it"
                )
            self._add_item(medium, answer, {}, targets, sample, show=show)
        page = prompts.Page(partial(self._place, sample))
        page.content(answer, answer.content)
        written = prompts.Rendered(page.text, sample, written=page.written)
        ids = prompts.tokenize(written, self.tokenizer, frame=True).input_ids
        end = self.tokenizer.eos_token_id
        return ids if ids[-1:] == [end] else [*ids, end]

    def _cut(self, expanded: Expanded, max_tokens: int | None, sample: str) -> tuple[list[int], list[int], int]:
        ids, labels = expanded.ids, expanded.labels
        if max_tokens is None or len(ids) <= max_tokens:
            return ids, labels, 0
        room = max_tokens - sum(expanded.fixed)
        if room <= 0:
            raise _no_room(sample, "its media", max_tokens - room, max_tokens)
        stay = []
        for place, fixed in enumerate(expanded.fixed):
            if fixed:
                stay.append(place)
            elif room > 0:
                stay.append(place)
                room -= 1
        labels = labels if self.encoder_decoder else [labels[i] for i in stay]
        return [ids[i] for i in stay], labels, len(ids) - len(stay)


def _no_room(sample: str, media: str, taken: int, max_tokens: int) -> PromptError:
    return PromptError(
        f"{sample}: {media} take {taken} tokens, which leaves no room for text within the maximum of {max_tokens}; "
        "raise max_tokens or use a projector that makes fewer tokens"
    )


def _flat(media: Any) -> list[Any]:
    if media is None:
        return []
    if not isinstance(media, list | tuple):
        return [media]
    return [medium for entry in media for medium in (entry if isinstance(entry, list | tuple) else [entry])]


def _packed(media: Mapping[str, list[Item]]) -> dict[str, Any]:
    """Items by modality as arguments of the model."""
    media = {m: items for m, items in media.items() if items}
    said = {m: found for m, items in media.items() if (found := item_texts(items)) is not None}
    return pack({m: ragged(items) for m, items in media.items()}, said)
