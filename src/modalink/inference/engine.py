"""One engine answers: sessions and evaluation are thin over it.

Requests are decoded side by side. A row that is over leaves its batch. A row that begins a run of signal tokens waits
until the others are over or wait too; then the rest of the run is appended in one pass, from whose states come the
conditions of its medium: drawing runs neither the encoder nor the prompt again.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.conversation import Content, Medium, Text
from modalink.errors import GenerationError, ModalinkError
from modalink.inference.beams import beam_search
from modalink.inference.decoding import Decoder, EncoderDecoder, Group, embed_prompts, join
from modalink.inference.encoded import EncodedMedia, MediaFeatures
from modalink.inference.making import check_options, of_words
from modalink.inference.request import Begun, Completion, Made, Request
from modalink.inference.row import Row
from modalink.inference.scores import Silent, not_numbers
from modalink.model import Prepared, System
from modalink.roles import Conditions


class Engine:
    """Answers requests with one system.

    Each request has its own random source, so in float32 its answer is the same alone, beside others, streamed, and
    asked from several threads at once. Threads take turns, a pass each.

    Args:
        system: The system; its model is in evaluation mode and stays on its device.
        batch: How many requests are answered side by side.
        keeps: Bytes of encoder outputs that are kept, so that a medium is not encoded again where a conversation goes
            on; none by default.
        encoded: What knows encoder outputs already, instead.
    """

    def __init__(
        self, system: System, *, batch: int = 64, keeps: int = 0, encoded: MediaFeatures | None = None
    ) -> None:
        self.system, self.batch = system, batch
        self.encoded = EncodedMedia(system, keeps) if keeps else encoded
        model = system.model
        self.llm: Any = (EncoderDecoder if model.config.is_encoder_decoder else Decoder)(system)
        vocabulary = model.config.get_text_config(decoder=True).vocab_size
        self.silent = Silent(model.config.signals, [t for t in model.config.placeholders.values() if t < vocabulary])

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """The completions of requests, in order.

        Raises:
            GenerationError: A conversation is too long for the LLM, its scores are no numbers, or no generator takes an
                option of media.
        """
        completions: list[Completion] = []
        for start in range(0, len(requests), self.batch):
            rows = [self._row(request) for request in requests[start : start + self.batch]]
            for _ in self._decode(rows):
                pass
            completions += [self._completion(row) for row in rows]
        return completions

    def first_log_probabilities(self, prompts: Sequence[Prepared]) -> Float[Tensor, "n v"]:
        """What the LLM gives each token of its vocabulary as the first of an answer, as it is, on the CPU.

        Args:
            prompts: Conversations as tokens and items: `processor.prepare(..., reply=True)`.

        Raises:
            GenerationError: A conversation is too long for the LLM, or its scores are no numbers.
        """
        found: dict[int, Tensor] = {}
        for start in range(0, len(prompts), self.batch):
            rows = [self._row(Request(prompt)) for prompt in prompts[start : start + self.batch]]
            places = {id(row): start + place for place, row in enumerate(rows)}
            for together in self._together(rows):
                scores = self._begin(together).scores.float().log_softmax(-1).cpu()
                if scores.isnan().any():
                    raise not_numbers()
                found |= {places[id(row)]: own for row, own in zip(together, scores, strict=True)}
        return torch.stack([found[place] for place in range(len(prompts))])

    def stream(self, request: Request) -> Iterator[str | Begun | Completion]:
        """One answer as it is decoded: pieces of its text as soon as they are certain, where media stand between them,
        and at the end its completion.

        Raises:
            GenerationError: As for `generate`.
        """
        row = self._row(request)
        for _ in self._decode([row]):
            yield from filter(None, row.pieces)
            row.pieces.clear()
        yield self._completion(row)

    def _row(self, request: Request) -> Row:
        check_options(self.system, request.sampling)
        beams, outputs = request.sampling.beams, self.system.spec.outputs
        if beams > 1 and request.media and (reads := [name for name, made in outputs.items() if made.read_back]):
            raise GenerationError(
                f"found beams: {beams}, and {reads[0]} that is made is read in the middle of the reply "
                f"(outputs.{reads[0]}.read_back), which beams cannot; leave beams out"
            )
        return Row(self.system, request)

    def _decode(self, rows: list[Row]) -> Iterator[None]:
        """Decode rows to their ends, a pass between two stops."""
        for row in rows:
            if row.request.sampling.beams > 1:
                self._search(row)
                yield
        plain = [row for row in rows if row.request.sampling.beams == 1]
        groups = [self._begin(rows) for rows in self._together(plain)]
        waiting: dict[str, list[Group]] = {}
        while groups or waiting:
            if not groups:
                modality, found = waiting.popitem()
                groups = [after for group in join(found) for after in self._append_run(modality, group)]
            else:
                group = groups.pop()
                self._draw(group)
                for modality in {row.begun for row in group.rows if row.begun}:
                    chosen = [i for i, row in enumerate(group.rows) if row.begun == modality]
                    waiting.setdefault(modality, []).append(group.select(chosen))
                group = _unfinished(group)
                if group.rows:
                    groups.append(self._extend(group))
            groups = [group for group in groups if group.rows]
            yield

    def _together(self, rows: list[Row]) -> list[list[Row]]:
        """Rows that may begin side by side: all, or those of one length where padding changes what the LLM says."""
        if self.system.model.fit.pads:
            return [rows] if rows else []
        by_length: dict[int, list[Row]] = {}
        for row in rows:
            by_length.setdefault(len(row.request.prompt.input_ids), []).append(row)
        return list(by_length.values())

    def _begin(self, rows: list[Row]) -> Group:
        with self._turn():
            prompts = [row.request.prompt for row in rows]
            return self.llm.begin(rows, embed_prompts(self.system, prompts, self.encoded))

    def _extend(self, group: Group) -> Group:
        with self._turn():
            ids = torch.tensor([[row.ids[-1]] for row in group.rows], device=group.mask.device)
            return self.llm.extend(group, ids).group

    def _draw(self, group: Group) -> None:
        """One token for each row."""
        scores = group.scores.to(torch.float32, copy=True)
        totals = scores.logsumexp(-1)
        if totals.isnan().any():
            raise not_numbers()
        self.silent(scores, [0 if row.full else row.room for row in group.rows])
        chosen = scores.argmax(-1)
        for number, row in enumerate(group.rows):
            if row.sampler:
                chosen[number] = row.sampler(scores[number])
        probable = scores.gather(1, chosen[:, None])[:, 0] - totals
        for row, token, log_probability in zip(group.rows, chosen.tolist(), probable.tolist(), strict=True):
            row.take(token, log_probability)

    def _append_run(self, modality: str, group: Group) -> list[Group]:
        """The whole run of which the rows have drawn the first token, and what is read behind it."""
        run = self.system.model.config.signals[modality]
        with self._turn():
            ids = torch.tensor([run] * len(group.rows), device=group.mask.device)
            extended = self.llm.extend(group, ids, states=True)
            model = self.system.model
            beside = {modality: found} if (found := _neighbours(group.rows)) is not None else None
            asked = model.asked(ids, extended.layers, earlier=group.earlier, neighbours=beside)
            conditions = model.conditions(asked, {modality: [row.noise(modality) for row in group.rows]})[modality]
        for row, own in zip(group.rows, conditions, strict=True):
            row.take_run(own)
        group = _unfinished(extended.group)
        return self._read_back(modality, group) if self.system.spec.outputs[modality].read_back else [group]

    def _read_back(self, modality: str, group: Group) -> list[Group]:
        """Rows behind a medium that is made at once and read, so that what they say next sees it."""
        after, unread = [], []
        for number, row in enumerate(group.rows):
            with self._turn():
                form = self._form(modality, row) if row.request.media else None
                if form is None:
                    unread.append(number)
                    continue
                read = embed_prompts(self.system, [form], self.encoded)
                after.append(self.llm.extend(group.select([number]), read.ids, embeds=read.read.embeds).group)
            row.read += len(form.input_ids)
        return join([*after, *([group.select(unread)] if unread else [])]) if group.rows else []

    def _form(self, modality: str, row: Row) -> Prepared | None:
        """How the medium that a row asks for is read, once it is made; None where it is not, or there is no room."""
        made = row.make()
        if made.missing:
            return None
        before = len(row.request.prompt.media.get(modality, ())) + sum(m == modality for _, m in row.reader.marks)
        try:
            form = self.system.processor.medium_prompt(modality, made.medium, row.reader.text, among=before)
        except ModalinkError:  # an encoder that refuses what was made; it stands as its signal tokens
            return None
        return form if len(form.input_ids) < row.space else None

    def _search(self, row: Row) -> None:
        """A whole answer by beam search, and then its states in one pass."""
        with self._turn():
            prompts = embed_prompts(self.system, [row.request.prompt], self.encoded)
            spoken = beam_search(self.system, row, prompts)
            ids = torch.tensor([spoken], device=prompts.ids.device)
            group = self.llm.begin([row], prompts)
            extended = self.llm.extend(group, ids, states=True)
            found = _neighbours([row])
            beside = None if found is None else dict.fromkeys(self.system.spec.signalled, found)
            asked = self.system.model.asked(ids, extended.layers, earlier=group.earlier, neighbours=beside)
            rngs = {m: [row.noise(m, number) for number in range(len(own.states))] for m, own in asked.items()}
            conditions = {m: iter(own) for m, own in self.system.model.conditions(asked, rngs).items()}
        scores = torch.cat([group.scores[:, None], extended.logits[:, :-1]], 1)[0].float()
        probable = scores.log_softmax(-1).gather(1, ids[0, :, None])[:, 0].tolist()
        drawn = zip(spoken, probable, strict=True)
        while not row.finish_reason and (following := next(drawn, None)):
            row.take(*following)
            if row.begun:
                for _ in row.signals[row.begun][1:]:
                    next(drawn)
                row.take_run(next(conditions[row.begun]))

    def _completion(self, row: Row) -> Completion:
        assert row.finish_reason
        conditions = {modality: Conditions.cat(own) for modality, own in row.conditions.items()}
        with self._turn():
            worded, refused = of_words(self.system, row.reader.text)
        conditions |= worded
        content: tuple[Content, ...] = (Text(row.reader.text),)
        made: list[Made] = []
        if row.request.media:
            made = self._made(row, worded, refused)
            marked = len(row.reader.marks)
            media = [Medium(one.modality, one.medium) if not one.missing else None for one in made]
            content = row.reader.content(media[:marked]) + tuple(medium for medium in media[marked:] if medium)
            places = iter(place for place, piece in enumerate(content) if isinstance(piece, Medium))
            made = [one if one.missing else replace(one, place=next(places)) for one in made]
        return Completion(
            text=row.reader.text,
            ids=tuple(row.ids),
            log_probabilities=tuple(row.log_probabilities),
            finish_reason=row.finish_reason,
            content=content,
            conditions=conditions,
            made=tuple(made),
        )

    def _made(self, row: Row, worded: Mapping[str, Conditions], refused: Mapping[str, str]) -> list[Made]:
        """The media of one answer in their order, each with a random source of its own.

        Args:
            row: The answer.
            worded: Conditions of its words; their media come last.
            refused: By modality why its words became none.
        """
        waiting = {modality: iter(own) for modality, own in row.conditions.items()}
        asked: list[tuple[str, Conditions | None]] = [(m, next(waiting[m])) for _, m in row.reader.marks]
        if row.reader.text:
            asked += [(m, worded.get(m)) for m in self.system.spec.worded]
        made = []
        most = max(len(row.reader.marks), row.request.sampling.max_media)
        for place, (modality, conditions) in enumerate(asked[:most]):
            with self._turn():
                why = refused.get(modality, "")
                made.append(row.made.get(place) or row.maker.make(modality, conditions, why, number=place + 1))
        return made

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """This thread's turn to run the parts."""
        with self.system.lock, torch.no_grad():
            yield


def _neighbours(rows: Sequence[Row]) -> Float[Tensor, "i n d"] | None:
    """The vectors of what was found for each row; None where nothing was looked up for any."""
    found = [row.request.prompt.neighbours for row in rows]
    like = next((vectors for vectors in found if vectors is not None), None)
    return None if like is None else torch.stack([torch.zeros_like(like) if one is None else one for one in found])


def _unfinished(group: Group) -> Group:
    """The rows that go on at once: those that are over, or wait for the rest of a run, are left out."""
    return group.select([i for i, row in enumerate(group.rows) if not row.finish_reason and not row.begun])
