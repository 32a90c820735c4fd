"""A whole system: the model, its processor, and the generators that stand beside it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedConfig

from modalink.conversation import Conversation
from modalink.encoders import built
from modalink.errors import CheckpointError, PartError
from modalink.generators import built as built_generator
from modalink.hub import foreign, locate
from modalink.model.assembly import Tokens, assemble
from modalink.model.batch import Batch
from modalink.model.collating import collate
from modalink.model.configuration import ModalinkConfig
from modalink.model.modeling import ModalinkForConditionalGeneration
from modalink.model.prepared import Prepared
from modalink.model.processing import ModalinkProcessor
from modalink.model.references import pretrained
from modalink.model.retrieving import Retrieving
from modalink.recipe import SystemSpec
from modalink.recipe import load as load_recipe
from modalink.recipe.groups import Group
from modalink.roles import Generator, ReadsText


@dataclass
class System:
    """The parts of a recipe, wired.

    Args:
        model: Encoders, input projectors, LLM and output projectors.
        processor: What turns conversations into the model's input.
        generators: Generator by output modality; frozen, but for denoisers that are parts of the model.
        spec: What all this was built from.
        retrieving: What is looked up before a question is read; None for nothing.
        lock: Held by the thread whose pass runs through the parts.
    """

    model: ModalinkForConditionalGeneration
    processor: ModalinkProcessor
    generators: dict[str, Generator]
    spec: SystemSpec
    retrieving: Retrieving | None = None
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def prepare(self, conversation: Conversation, *, learning: bool = False, **options: Any) -> Prepared:
        """Make one sample ready, with what is looked up for it.

        Args:
            conversation: The sample.
            learning: Whether training learns from it, which must not find it itself.
            options: As for `ModalinkProcessor.prepare`.

        Raises:
            MediumError, PromptError: As `ModalinkProcessor.prepare`.
        """
        if self.retrieving is None:
            return self.processor.prepare(conversation, **options)
        found = self.retrieving.looked_up(conversation, learning=learning)
        prepared = self.processor.prepare(found.conversation, **options)
        return prepared if found.neighbours is None else replace(prepared, neighbours=found.neighbours)

    def batch(self, samples: Sequence[Prepared]) -> Batch:
        """Samples as one batch, packed where the LLM can read that."""
        return collate(
            samples,
            packed=self.model.packs,
            pad_id=self.processor.tokenizer.pad_token_id,
            encoder_decoder=self.processor.encoder_decoder,
            both_ways=self.spec.llm.reads_both_ways,
        )

    def save(self, folder: Path) -> None:
        """Write model and processor; of generators only what is a part of the model is ever trained, so their place in
        the spec is enough."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path | str, *, generators: bool = True) -> "System":
        """The system that `save` wrote.

        Args:
            folder: A folder, or a hub id.
            generators: Whether its generators are loaded; without them it says what it would, and makes no media.

        Raises:
            CheckpointError: The folder does not hold one.
        """
        path = locate(str(folder))
        try:
            model = ModalinkForConditionalGeneration.from_pretrained(path)
            with foreign(CheckpointError, f"{path}: its processor cannot be read"):
                processor = ModalinkProcessor.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        except CheckpointError as error:
            raise error if str(path) in str(error) else CheckpointError(f"{path}: {error}") from error
        tokens, config = processor.tokens, model.config
        if (tokens.placeholders, tokens.signals) != (config.placeholders, config.signals):
            raise CheckpointError(f"{path}: its tokenizer and its config.json give the system's tokens different ids")
        spec = processor.spec
        made = build_generators(spec, model) if generators else {}
        return cls(model, processor, made, spec, Retrieving.of(spec, model, processor))


def compose(spec: SystemSpec, *, seed: int = 0) -> System:
    """Build a system with its parts' weights; new links are drawn from the seed.

    Args:
        spec: The parts, for example a recipe.
        seed: Seed of the links' first weights.

    Raises:
        PartError: A part cannot be loaded or does not fit its neighbour.
        PromptError: The prompt template does not fit the LLM's tokenizer.
        UnknownNameError: A modality or a template is not known.
    """
    spec = SystemSpec.model_validate({name: getattr(spec, name) for name in SystemSpec.model_fields})
    tokenizer = spec.llm.tokenizer()
    tokens = Tokens.add(spec, tokenizer, _rows(spec))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = assemble(spec, tokens)
    spec = spec.model_copy(update={"llm": spec.llm.as_built(parts.language_model)})
    model = ModalinkForConditionalGeneration(
        _configuration(spec, tokens, parts.language_model.config), **parts.as_arguments()
    )
    processor = ModalinkProcessor(tokenizer, spec, encoder_decoder=model.config.is_encoder_decoder)
    generators = build_generators(spec, model)
    return System(model.eval(), processor, generators, spec, Retrieving.of(spec, model, processor))


def compose_without_llm(spec: SystemSpec, *, seed: int = 0) -> System:
    """The system that `compose` builds, but its LLM and its links on the meta device: for who only encodes.

    Args:
        spec: The parts, for example a recipe.
        seed: Seed of the links' first weights.

    Raises:
        PartError, PromptError, UnknownNameError: As `compose`.
    """
    spec = SystemSpec.model_validate({name: getattr(spec, name) for name in SystemSpec.model_fields})
    tokenizer = spec.llm.tokenizer()
    Tokens.add(spec, tokenizer, _rows(spec))
    model = skeleton(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        for owner, config in spec.encoders().items():
            model.model.encoders[owner] = built(config)
        # Drawn weights come behind the LLM's, which draws its own: only with it they are the same.
        if not torch.equal(before, torch.get_rng_state()):
            return compose(spec, seed=seed)
    processor = ModalinkProcessor(tokenizer, spec, encoder_decoder=model.config.is_encoder_decoder)
    return System(model.eval(), processor, build_generators(spec), spec, Retrieving.of(spec, model, processor))


def build(
    recipe: SystemSpec | str | Path, *, seed: int = 0
) -> tuple[ModalinkForConditionalGeneration, ModalinkProcessor]:
    """Model and processor of a recipe: the machinery, for those who bring their own loop.

    Args:
        recipe: A recipe, its file, or the name of one that ships.
        seed: Seed of the links' first weights.
    """
    system = compose(load_recipe(recipe) if isinstance(recipe, str | Path) else recipe, seed=seed)
    return system.model, system.processor


def skeleton(spec: SystemSpec) -> ModalinkForConditionalGeneration:
    """The model on the meta device: names, shapes and counts of all parameters, without weights or a network."""
    spec = SystemSpec.model_validate({name: getattr(spec, name) for name in SystemSpec.model_fields})
    tokens = Tokens.after(spec, _rows(spec))
    with torch.device("meta"):
        for modality, output in spec.worded.items():
            _check_words(spec, modality, output.generator.build(weights=False))
        parts = assemble(spec, tokens, without_weights=pretrained(spec))
        return ModalinkForConditionalGeneration(
            _configuration(spec, tokens, parts.language_model.config), **parts.as_arguments()
        )


def _rows(spec: SystemSpec) -> int:
    """How many tokens the LLM has an embedding for."""
    size: int = spec.llm.architecture().get_text_config(decoder=True).vocab_size
    return size


def build_generators(spec: SystemSpec, model: ModalinkForConditionalGeneration | None = None) -> dict[str, Generator]:
    """The generators of a system, by output modality.

    Args:
        spec: The system.
        model: What its denoisers that can be trained are parts of; without it, generators have some of their own.
    """
    shared = {} if model is None else model.learning_generators
    found = {m: shared[m] if m in shared else built_generator(out.generator) for m, out in spec.outputs.items()}
    for modality, generator in found.items():
        _check_words(spec, modality, generator)
    return found


def _check_words(spec: SystemSpec, modality: str, generator: Generator) -> None:
    """Demand that a generator without a projector reads words."""
    if modality in spec.worded and not isinstance(generator, ReadsText):
        kind = spec.outputs[modality].generator.kind
        raise PartError(
            f"{Group.generator(modality)}: the generator {kind!r} has no conditions of its own for the words of a "
            "reply; give the output a projector and signal_tokens"
        )


def _configuration(spec: SystemSpec, tokens: Tokens, text_config: PreTrainedConfig) -> ModalinkConfig:
    attention = text_config._attn_implementation
    config = ModalinkConfig(
        spec=spec.model_dump(mode="json"),
        text_config=text_config,
        placeholders=tokens.placeholders,
        signals=tokens.signals,
        prompt_tokens=tokens.prompt,
        encoder_owners={m: owner for m, owner in spec.encoder_owners.items() if m != owner},
        projector_owners={m: owner for m, owner in spec.projector_owners.items() if m != owner},
        link_owners={m: owner for m, owner in spec.link_owners.items() if m != owner},
        is_encoder_decoder=text_config.is_encoder_decoder,
    )
    text_config._attn_implementation = attention  # a new configuration resets its parts' choice
    return config
