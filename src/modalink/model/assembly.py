"""From a system's spec to its parts, each built to the widths of its neighbours."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import nn
from transformers import AddedToken, PreTrainedModel, PreTrainedTokenizerBase

from modalink import modalities, prompts
from modalink.encoders import built, verify
from modalink.errors import PartError, PromptError
from modalink.generators import built as built_generator
from modalink.llms import add_new_tokens, settle, why_not
from modalink.model.conditioning import Shapes, build_link, check_names, states_read
from modalink.model.references import references
from modalink.model.states import StateReader
from modalink.ragged import Layout
from modalink.recipe import SystemSpec
from modalink.recipe.groups import JOIN, LLM, Group
from modalink.roles import ConditionShape, Encoder, Generator, InputProjector, Join


@dataclass(frozen=True)
class Tokens:
    """Ids of the tokens that modalink adds to an LLM's vocabulary, by modality."""

    placeholders: dict[str, int]
    signals: dict[str, list[int]]
    prompt: list[int] = field(default_factory=list)
    """Those that the prompt template and the coordinate codec write and the LLM's own vocabulary lacks."""

    def read_as(self, spec: SystemSpec) -> dict[int, int]:
        """Signal tokens that are read as those of another modality, whose projector is used -> the other's."""
        owners = {modality: owner for modality, owner in spec.link_owners.items() if modality != owner}
        return {
            token: other
            for modality, owner in owners.items()
            for token, other in zip(self.signals[modality], self.signals[owner], strict=True)
        }

    @property
    def learned(self) -> list[int]:
        """Tokens that need rows of their own in the LLM: all but placeholders, in the order of those rows.

        Signal tokens stand by id, since a saved configuration names its modalities in another order than the recipe.
        """
        return [*sorted(token for run in self.signals.values() for token in run), *self.prompt]

    @classmethod
    def add(cls, spec: SystemSpec, tokenizer: PreTrainedTokenizerBase, rows: int | None = None) -> "Tokens":
        """Put the system's tokens into a tokenizer, in place; a token that it already has keeps its id.

        Signal tokens and those of the prompt come first: they are predicted, placeholders never are.

        Args:
            spec: The system.
            tokenizer: The LLM's tokenizer.
            rows: How many tokens the LLM has an embedding for; by default as many as the tokenizer has.

        Raises:
            PromptError: The prompt template writes a special token that has no embedding, and may not add one.
        """
        signals = {m: signal_spellings(m, output.signal_tokens) for m, output in spec.signalled.items()}
        placeholders = {m: modalities.get(m).placeholder for m in spec.inputs}
        marks = _marks(spec, tokenizer, rows)
        tags = [tag for tag in _tags(spec) if tag not in marks]
        lacking = [mark for mark in (*marks, *tags) if _lacks(mark, tokenizer, rows)]
        for special, spellings in (
            (True, [*(s for run in signals.values() for s in run), *marks]),
            (False, tags),  # an answer's text keeps them, and people may write them
            (True, placeholders.values()),
        ):
            tokens = [AddedToken(s, special=special, normalized=False) for s in spellings]
            tokenizer.add_tokens(tokens, special_tokens=special)
        return cls(
            {m: tokenizer.convert_tokens_to_ids(s) for m, s in placeholders.items()},
            {m: tokenizer.convert_tokens_to_ids(run) for m, run in signals.items()},
            tokenizer.convert_tokens_to_ids(lacking),
        )

    @classmethod
    def after(cls, spec: SystemSpec, vocabulary: int) -> "Tokens":
        """The ids that follow a vocabulary of a known size: for a skeleton without a tokenizer.

        Of an LLM's own template the tokens are not known; they count as two, that begin and end a turn.
        """
        signals, placeholders = {}, {}
        for modality, output in spec.signalled.items():
            signals[modality] = list(range(vocabulary, vocabulary + output.signal_tokens))
            vocabulary += output.signal_tokens
        known = prompts.marks(spec.prompt.template)
        marks = (2 if spec.prompt.template == "llm" else len(known)) if spec.prompt.add_tokens else 0
        marks += len(_tags(spec))
        prompt = list(range(vocabulary, vocabulary + marks))
        for modality in spec.inputs:
            placeholders[modality] = vocabulary + marks
            vocabulary += 1
        return cls(placeholders, signals, prompt)


def _marks(spec: SystemSpec, tokenizer: PreTrainedTokenizerBase, rows: int | None) -> tuple[str, ...]:
    """Special tokens of the prompt that must be there, and may be added."""
    if not spec.prompt.add_tokens and rows is None:
        return ()
    marks = prompts.specials(spec.prompt.template, tokenizer)
    if spec.prompt.add_tokens:
        return marks
    vocabulary = tokenizer.get_vocab()
    if rowless := [mark for mark in marks if mark in vocabulary and _lacks(mark, tokenizer, rows)]:
        raise PromptError(
            f"the template {spec.prompt.template!r} writes {rowless[0]!r}, token {vocabulary[rowless[0]]} of the LLM's "
            f"tokenizer, and the LLM has embeddings of the tokens below {rows}; take the tokenizer that it was trained "
            "with, or let it learn the token (`prompt: {add_tokens: true}`, and llm.new_tokens in a stage's train)"
        )
    return ()


def _tags(spec: SystemSpec) -> tuple[str, ...]:
    """Tags of the coordinate codec that become tokens."""
    if spec.prompt.coordinates is None:
        return ()
    codec = prompts.codec(spec.prompt.coordinates)
    return codec.tags if spec.prompt.add_tokens else ()


def _lacks(mark: str, tokenizer: PreTrainedTokenizerBase, rows: int | None) -> bool:
    """Whether an LLM has no embedding of a token."""
    index = tokenizer.get_vocab().get(mark)
    return index is None or (rows is not None and index >= rows)


def signal_spellings(modality: str, count: int) -> list[str]:
    """How the signal tokens of a modality are written, for example `[IMG0]` to `[IMG7]`."""
    return [modalities.get(modality).signal.format(i) for i in range(count)]


@dataclass(frozen=True)
class Parts:
    """What `ModalinkForConditionalGeneration` is made of."""

    encoders: dict[str, Encoder]
    input_projectors: dict[str, InputProjector]
    language_model: PreTrainedModel
    join: Join
    output_projectors: dict[str, nn.Module]
    state_readers: dict[str, StateReader]
    condition_shapes: dict[str, dict[str, ConditionShape]]
    generators: dict[str, Generator]
    """Those of which something can be trained."""
    denoisers: dict[str, nn.Module]
    """Theirs."""
    referenced: frozenset[str]

    def as_arguments(self) -> dict[str, Any]:
        """Keyword arguments of the composite's constructor."""
        return vars(self)


def assemble(spec: SystemSpec, tokens: Tokens, *, without_weights: Collection[str] = ()) -> Parts:
    """Build the parts on the current default device, all that is pretrained frozen.

    Args:
        spec: The parts and their settings.
        tokens: Ids of the added tokens.
        without_weights: Names of parts (`llm`, `inputs.image.encoder`), and of sections that come from a checkpoint, of
            which only the architecture is wanted.

    Raises:
        PartError: A part cannot be built, does not fit its neighbour, or is an LLM that would not say what it should.
    """
    llm = spec.llm.build(weights=LLM not in without_weights)
    if llm.device.type != "meta":
        fit = settle(llm)
        if spec.llm.reads_both_ways and not fit.packs:
            raise PartError(
                f"llm.prefix_lm: {type(llm).__name__} is run by its own attention ({fit.reason}), which reads a prompt "
                "in its own way; leave it out"
            )
    width = llm.get_input_embeddings().embedding_dim
    if new := tokens.learned:
        vocabulary = llm.get_output_embeddings().out_features
        at_end = {token for m, run in tokens.signals.items() if spec.outputs[m].signal_start == "end" for token in run}
        add_new_tokens(llm, new, max(vocabulary, max(new) + 1), like_end=at_end, read_as=tokens.read_as(spec))

    encoders: dict[str, Encoder] = {}
    input_projectors: dict[str, InputProjector] = {}
    for owner, config in spec.encoders().items():
        with _named(Group.encoder(owner)):
            encoders[owner] = built(config, weights=Group.encoder(owner) not in without_weights)
    for modality in spec.inputs:
        owner, config = spec.encoder_owners[modality], spec.encoder(modality)
        with _named(Group.encoder(owner)):
            verify(config)
        encoder = encoders[owner].for_modality(modality)
        example = encoder.layout(config.typical())
        if (sharing := spec.projector_owners[modality]) != modality:
            _check_sharing(spec, modality, encoder, encoders[sharing].for_modality(sharing), example)
            continue
        with _named(Group.input_projector(modality)):
            projector = spec.projector(modality).build(
                dim_in=encoder.dim, dim_out=spec.join.prompt_width(width), example=example
            )
            _borrow(spec, modality, projector, without_weights)
            input_projectors[modality] = projector
    shapes = {modality: wanted.generator.condition_shapes() for modality, wanted in spec.signalled.items()}
    readers, output_projectors = _links(spec, llm, shapes)
    join, known = _join(spec, llm, without_weights), frozenset(references(spec))
    generators = _learning_generators(spec, without_weights)
    denoisers = {m: spec.outputs[m].generator.denoiser_of(generator) for m, generator in generators.items()}
    return Parts(
        encoders, input_projectors, llm, join, output_projectors, readers, shapes, generators, denoisers, known
    )


def _learning_generators(spec: SystemSpec, without_weights: Collection[str]) -> dict[str, Generator]:
    """The generators of whose denoiser something can be trained, which is then a part of the model."""
    found: dict[str, Generator] = {}
    for modality, made in spec.learning_generators.items():
        with _named(Group.generator(modality)):
            found[modality] = built_generator(made.generator, weights=Group.denoiser(modality) not in without_weights)
    return found


def _links(
    spec: SystemSpec, llm: PreTrainedModel, shapes: Mapping[str, Shapes]
) -> tuple[dict[str, StateReader], dict[str, nn.Module]]:
    """What reads the LLM's states, and the output projectors, of each modality that has some of its own."""
    readers: dict[str, StateReader] = {}
    projectors: dict[str, nn.Module] = {}
    width = cast(int, llm.get_input_embeddings().embedding_dim)
    depth = llm.config.get_text_config(decoder=True).num_hidden_layers
    for modality, wanted in spec.signalled.items():
        if (owner := spec.link_owners[modality]) != modality:
            _check_lending(modality, owner, shapes)
            continue
        if wanted.states.at != "signals" and llm.config.is_encoder_decoder:
            raise PartError(f"outputs.{modality}.states: {type(llm).__name__} is an encoder-decoder, needed a decoder")
        if wanted.read_back and (llm.config.is_encoder_decoder or spec.join.kind != "splice"):
            how = "an encoder-decoder" if llm.config.is_encoder_decoder else f"the join {spec.join.kind!r}"
            raise PartError(
                f"outputs.{modality}.read_back: found {how}, needed a decoder into whose text media are spliced: only "
                "there something can be read in the middle of a reply"
            )
        check_names(modality, wanted, shapes[modality])
        count = states_read(modality, wanted, shapes[modality])
        with _named(f"outputs.{modality}"):
            beside = 0 if spec.retrieval is None or not wanted.states.neighbours else spec.retrieval.retriever.width()
            readers[modality] = StateReader(wanted.states, count, depth, (width, beside))
        projectors[modality] = build_link(modality, wanted, width, readers[modality].total, shapes[modality])
    return readers, projectors


def _check_lending(modality: str, owner: str, shapes: Mapping[str, Shapes]) -> None:
    """Refuse the projector of another modality whose generator reads other conditions."""
    found, needed = shapes[owner], shapes[modality]
    if found != needed:
        listed = [", ".join(f"{name} {shape}" for name, shape in each.items()) for each in (needed, found)]
        raise PartError(
            f"outputs.{modality}: uses the projector of {owner}, and its generator reads {listed[0]}, where {owner}'s "
            f"reads {listed[1]}; give it a projector of its own"
        )


def _join(spec: SystemSpec, llm: PreTrainedModel, without_weights: Collection[str]) -> Join:
    """The join, with what of it comes from a checkpoint, and is frozen."""
    with _named(LLM):
        join = spec.join.build(llm, tuple(spec.inputs))
        if llm.device.type != "meta" and (reason := why_not(llm, spec.join)):
            family = f"{llm.config.model_type} ({type(llm).__name__})"
            raise PartError(f"{family} cannot carry the join {spec.join.kind!r}: {reason}; choose another, or `splice`")
        if (borrowed := spec.join.borrowed()) and JOIN not in without_weights:
            spec.join.borrow(join, borrowed)
            for name, parameter in join.named_parameters():
                parameter.requires_grad_(name.partition(".")[0] not in borrowed)
    return join


def _borrow(spec: SystemSpec, modality: str, projector: InputProjector, without_weights: Collection[str]) -> None:
    """Put what comes from a checkpoint into an input projector, and freeze it."""
    group, config = Group.input_projector(modality), spec.projector(modality)
    borrowed = [section for section in config.borrowed() if group.inside(section) not in without_weights]
    if borrowed:
        config.borrow(projector, borrowed)
        for name, parameter in projector.named_parameters():
            parameter.requires_grad_(not group.inside(name).within({*map(group.inside, borrowed)}))


def _check_sharing(spec: SystemSpec, modality: str, encoder: Encoder, other: Encoder, example: Layout) -> None:
    """Refuse a projector of another modality that cannot read this one's tokens."""
    owner = spec.projector_owners[modality]
    if encoder.dim != other.dim:
        raise PartError(
            f"inputs.{modality}: goes through the projector of {owner}, and found tokens {encoder.dim} wide, needed "
            f"{other.dim}; give it a projector of its own"
        )
    with _named(f"inputs.{modality}, through the projector of {owner}"):
        spec.projector(modality).layout(example)


class _named:
    """Puts a part's name before the errors that arise while it is built."""

    def __init__(self, part: str) -> None:
        self.part = part

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, PartError):
            raise PartError(f"{self.part}: {error}") from error
