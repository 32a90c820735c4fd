"""A system as a `LlavaForConditionalGeneration` folder, or LLaVA-NeXT's: what transformers and servers know."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from peft import get_peft_model
from tokenizers import processors
from torch import nn
from transformers import (
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaProcessor,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from modalink import files, hub, json_files, modalities, tensor_files
from modalink.adapters import adapted, merge_adapters
from modalink.encoders._images import ImagePreprocessor
from modalink.encoders.vision import VisionConfig
from modalink.errors import CheckpointError, PartError
from modalink.inference.endings import Endings
from modalink.interop._llava_form import LlavaForm, form_of
from modalink.interop._llava_language import Adapters, Language, language_of, take_adapters
from modalink.interop._proof import Proof
from modalink.interop.options import ExportOptions
from modalink.model import System
from modalink.prompts import TurnTemplate

ADAPTER = "adapter"
"""Folder of the LoRA adapters, where they stay beside the model."""
_MODALITY = "image"
_CLASSES: dict[bool, tuple[Any, Any, Any]] = {
    False: (LlavaForConditionalGeneration, LlavaConfig, LlavaProcessor),
    True: (LlavaNextForConditionalGeneration, LlavaNextConfig, LlavaNextProcessor),
}
"""Whether images are cut into tiles -> model, configuration and processor."""


_NAMES = {
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "model.image_newline": "image_newline",
}
"""How names begin in transformers -> in released checkpoints."""
_INNER = {"clip_vision_model": "vision_model.", "siglip_vision_model": "vision_model."}
"""Type of a tower -> how its names begin there."""


def write_llava(system: System, folder: Path, options: ExportOptions) -> None:
    """Write a system as LLaVA; the system is taken apart by it.

    Args:
        system: The system; its settings fit.
        folder: An empty folder.
        options: What to write.

    Raises:
        PartError: A part does not fit.
        PromptError: The exported processor reads a conversation as other tokens than the system's does.
        CheckpointError: What was written gives other logits.
    """
    form = form_of(system)
    proof = Proof.of(system, logits=options.check)
    processor = proof.fitting(_processors(system, form))
    generation = _generation(system)
    if adapted(form.encoder):
        if options.lora != "merged":
            raise PartError("inputs.image.encoder.lora: only the LLM's can stand beside; leave out --lora beside")
        merge_adapters(form.encoder)
    adapters = take_adapters(system.model.language_model, merge=options.lora == "merged")
    language = language_of(system.model.language_model, len(processor.tokenizer))
    model = _wired(form, language, processor.image_token_id)
    model.generation_config = generation
    with hub.without_bars():
        _save_model(model, folder, options.shard)
        _save_processor(processor, folder)
        if adapters is not None and options.lora == "beside":
            _save_adapters(model, adapters, folder)
    tensor_files.share(folder)
    if options.check:
        proof.check(folder, type(model), ADAPTER)


def _wired(form: LlavaForm, language: Language, image_token: int) -> PreTrainedModel:
    """The class of transformers around the system's own modules."""
    kind, settings, _ = _CLASSES[form.pinpoints is not None]
    more = {} if form.pinpoints is None else {"image_grid_pinpoints": [list(size) for size in form.pinpoints]}
    config = settings(
        vision_config=form.encoder.tower.config.to_dict(),
        text_config=language.config.to_dict(),
        image_token_index=image_token,
        image_seq_length=form.encoder.tokens_per_block,
        projector_hidden_act=form.activation,
        vision_feature_layer=[*form.layer] if isinstance(form.layer, tuple) else form.layer,
        vision_feature_select_strategy=form.strategy,
        multimodal_projector_bias=form.linears[0].bias is not None,
        tie_word_embeddings=language.config.tie_word_embeddings,
        **more,
    )
    with torch.device("meta"):
        model = kind(config)
    model.model.vision_tower = form.encoder.tower
    model.model.language_model = language.decoder
    model.lm_head = language.head
    model.model.multi_modal_projector.linear_1 = form.linears[0]
    model.model.multi_modal_projector.linear_2 = form.linears[1] if form.linears[1:] else _same(form.linears[0])
    if form.newline is not None:
        model.model.image_newline = form.newline
    for part in (model.config.vision_config, model.config.text_config):
        part._name_or_path = ""  # of a folder on this machine, perhaps
    model.config.dtype = language.head.weight.dtype
    model.requires_grad_(False)
    return model


@torch.no_grad()
def _same(linear: nn.Linear) -> nn.Linear:
    """The map behind a lone one that changes nothing, to the last bit."""
    width, like = linear.out_features, linear.weight
    same = nn.Linear(width, width, bias=linear.bias is not None, device=like.device, dtype=like.dtype)
    nn.init.eye_(same.weight)
    if same.bias is not None:
        nn.init.zeros_(same.bias)
    return same


def _generation(system: System) -> GenerationConfig:
    """How the LLM answers by itself, with all tokens that end an answer of the system."""
    config = copy.deepcopy(system.model.generation_config)
    config.eos_token_id = sorted(Endings.of(system).tokens) or config.eos_token_id
    config.pad_token_id = system.processor.tokenizer.pad_token_id
    token = system.processor.tokens.placeholders[_MODALITY]
    if token < system.model.config.get_text_config().vocab_size:
        config.suppress_tokens = [*(config.suppress_tokens or []), token]
    return config


def _processors(system: System, form: LlavaForm) -> list[ProcessorMixin]:
    """Ways to read conversations by transformers, the plain one first.

    A tokenizer may read the first word behind a spelled-out begin token as one that stands inside a text; a space
    before it is what it would have put there itself. And it may put tokens around a text of which the template says
    nothing.
    """
    template, marks = system.processor.template, system.spec.inputs[_MODALITY].marks
    token = marks.begin + modalities.get(_MODALITY).placeholder + marks.end
    given = dict.fromkeys(modalities.block_types(_MODALITY), token)
    ways = [(template, False), (template, True)]
    if isinstance(template, TurnTemplate) and template.start.endswith("{bos}"):
        ways.insert(1, (template.replace(start=template.start + " "), False))
    return [_processor(system, form, chosen.jinja(given), bare=bare) for chosen, bare in ways]


def _processor(system: System, form: LlavaForm, template: str, *, bare: bool) -> ProcessorMixin:
    *_, kind = _CLASSES[form.pinpoints is not None]
    tokenizer = copy.deepcopy(system.processor.tokenizer)
    tokenizer.chat_template = None
    if bare:
        tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)  # which adds nothing
        for name in ("add_bos_token", "add_eos_token"):
            if hasattr(tokenizer, name):
                setattr(tokenizer, name, False)
    made: ProcessorMixin = kind(
        image_processor=_image_processor(system, form),
        tokenizer=tokenizer,
        patch_size=form.patch,
        vision_feature_select_strategy=form.strategy,
        chat_template=template,
        image_token=modalities.get(_MODALITY).placeholder,
        num_additional_image_tokens=form.extra,
    )
    return made


def _image_processor(system: System, form: LlavaForm) -> Any:
    """The system's preprocessing as an image processor of transformers, on Pillow as here."""
    config = system.spec.encoder(_MODALITY)
    each = config if isinstance(config, VisionConfig) else config.encoder  # type: ignore[attr-defined]
    square: ImagePreprocessor = each.preprocessor()
    settings = square.processor.to_dict() | {"do_convert_rgb": True}
    if form.pinpoints is not None:
        return LlavaNextImageProcessorPil.from_dict(
            settings | {"image_grid_pinpoints": [list(size) for size in form.pinpoints], "do_pad": True}
        )
    if square.pad_to_square:
        return LlavaImageProcessorPil.from_dict(settings | {"do_pad": True})
    return type(square.processor).from_dict(settings)


def _save_model(model: PreTrainedModel, folder: Path, shard: str) -> None:
    """Save a model under the names of released LLaVA checkpoints, which all versions of all readers know."""
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    inner = _INNER.get(model.config.vision_config.model_type, "")
    names = {"model.vision_tower.": f"vision_tower.{inner}"} | _NAMES
    state = {_renamed(name, names): tensor for name, tensor in model.state_dict().items() if name not in tied}
    save_torch_state_dict(state, folder, max_shard_size=shard)


def _renamed(name: str, names: Mapping[str, str]) -> str:
    before = next(before for before in names if name.startswith(before))
    return names[before] + name.removeprefix(before)


def _save_processor(processor: ProcessorMixin, folder: Path) -> None:
    """Save a processor; its image processor under the name that all versions of transformers know, and alone, too."""
    processor.save_pretrained(folder)
    processor.tokenizer.chat_template = processor.chat_template  # servers read it there
    processor.tokenizer.save_pretrained(folder)
    path = folder / "processor_config.json"
    settings = json_files.read(path, CheckpointError, dict[str, Any])
    image = settings["image_processor"]
    image["image_processor_type"] = type(processor.image_processor).__name__.removesuffix("Pil")
    files.write_json(path, settings)
    files.write_json(folder / "preprocessor_config.json", image | {"processor_class": type(processor).__name__})


def _save_adapters(model: PreTrainedModel, adapters: Adapters, folder: Path) -> None:
    """Write LoRA as peft does that was put onto the exported model."""
    names = {name.rpartition(".lora_")[0] for name in adapters.weights}
    config = copy.deepcopy(adapters.config)
    config.target_modules = sorted(f"model.language_model.{name}" for name in names)
    config.inference_mode, config.base_model_name_or_path = True, None
    adapted: Any = get_peft_model(model, config)
    held = dict(adapted.named_parameters())
    for name, tensor in adapters.weights.items():
        before, _, after = name.rpartition(".")
        target = held.get(f"base_model.model.model.language_model.{before}.default.{after}")
        if target is None or target.shape != tensor.shape:
            raise PartError(f"llm.lora: its adapter {name} finds no place in the exported model")
        target.data = tensor
    adapted.save_pretrained(folder / ADAPTER)
    (folder / ADAPTER / "README.md").unlink(missing_ok=True)  # a form that nobody has filled in
