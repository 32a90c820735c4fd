"""Tiny random checkpoints in the formats that released ones have; the same seed writes the same weights.

Every factory writes a folder that `from_pretrained` reads, and returns it. Weights are drawn wider (0.2) than usual
(0.02): at these widths the usual scale makes attention uniform, and a test would not see a mixed-up token.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tokenizers import processors
from torch import Tensor
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BertConfig,
    BertForMaskedLM,
    Blip2ForConditionalGeneration,
    Blip2VisionModel,
    BlipImageProcessorPil,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionModel,
    HubertModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
    Siglip2ImageProcessorPil,
    Siglip2VisionModel,
    SiglipImageProcessorPil,
    SiglipVisionModel,
    T5Config,
    T5ForConditionalGeneration,
    TimmWrapperConfig,
    TimmWrapperModel,
    VideoMAEImageProcessorPil,
    VideoMAEModel,
    ViTImageProcessorPil,
    VivitModel,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig

from modalink.encoders import _beats, _imagebind, point_bert
from modalink.testing.tokenizers import tiny_clip_tokenizer, tiny_qwen2_tokenizer, tiny_tokenizer

_SPREAD = 0.2


def tiny_llama(
    folder: Path | str, *, tokenizer: PreTrainedTokenizerFast | None = None, seed: int = 0, **config: Any
) -> Path:
    """A LLaMA causal LM with its tokenizer; `config` replaces fields of the configuration."""
    return _language(folder, LlamaForCausalLM, LlamaConfig, tokenizer or tiny_tokenizer(), seed, config)


def tiny_qwen2(folder: Path | str, *, tokenizer: Qwen2Tokenizer | None = None, seed: int = 0, **config: Any) -> Path:
    """A Qwen2 causal LM with tied embeddings; its tokenizer speaks ChatML and begins no text.

    The tokenizer must be Qwen's own class, because a `qwen2` folder is read as one, whatever it was saved as.
    """
    config = {"tie_word_embeddings": True} | config
    return _language(folder, Qwen2ForCausalLM, Qwen2Config, tokenizer or tiny_qwen2_tokenizer(), seed, config)


def tiny_opt(
    folder: Path | str, *, tokenizer: PreTrainedTokenizerFast | None = None, seed: int = 0, **config: Any
) -> Path:
    """An OPT causal LM (learned positions, tied embeddings) with its tokenizer."""
    config = {"ffn_dim": 64, "word_embed_proj_dim": config.get("hidden_size", 32), "init_std": _SPREAD} | config
    return _language(folder, OPTForCausalLM, OPTConfig, tokenizer or tiny_tokenizer(), seed, config)


def tiny_t5(
    folder: Path | str,
    *,
    own_head: bool = True,
    tokenizer: PreTrainedTokenizerFast | None = None,
    seed: int = 0,
    **config: Any,
) -> Path:
    """A Flan-T5-like encoder-decoder LM (gated GELU, a head that is not scaled) with its tokenizer.

    Args:
        own_head: Whether its head has weights of its own, as in released files of T5 1.1, Flan-T5 and UL2; transformers
            ties them when it makes a T5 anew.
    """
    tokenizer = tokenizer or tiny_tokenizer(bos=False)
    settings: dict[str, Any] = {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 4,
    }
    settings |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "vocab_size": len(tokenizer)}
    settings |= {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    settings |= {"decoder_start_token_id": tokenizer.pad_token_id}
    path = _save(folder, T5ForConditionalGeneration, T5Config(**(settings | config)), seed, tokenizer)
    if own_head:
        state = load_file(path / "model.safetensors")
        state["lm_head.weight"] = by_name("lm_head.weight", state["shared.weight"].shape, seed)
        save_file(state, path / "model.safetensors", metadata={"format": "pt"})
    return path


def tiny_bert(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A BERT of two layers with its masked-word head, and a tokenizer that begins, ends and masks as BERT's does."""
    words = tiny_tokenizer(special=["<mask>"])
    begin, end = (("<s>", words.bos_token_id), ("</s>", words.eos_token_id))
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[begin, end]
    )
    words.mask_token = "<mask>"
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    made = BertConfig(vocab_size=len(words), pad_token_id=words.pad_token_id, **{**sizes, **config})
    return _save(folder, BertForMaskedLM, made, seed, words)


def tiny_llm(
    folder: Path | str, config: PreTrainedConfig, *, tokenizer: PreTrainedTokenizerFast | None = None, seed: int = 0
) -> Path:
    """Any LLM of transformers, by a configuration of tiny sizes, with its tokenizer, whose tokens it is given."""
    tokenizer = tokenizer or tiny_tokenizer(bos=not config.is_encoder_decoder)
    config.vocab_size = len(tokenizer)
    config.pad_token_id, config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    config.bos_token_id = tokenizer.bos_token_id
    if config.is_encoder_decoder:
        config.decoder_start_token_id = tokenizer.pad_token_id
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return _save(folder, auto.from_config, config, seed, tokenizer)


def tiny_clip_vision(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A CLIP vision tower (32 px, patch 8: 16 patches and a class token, 3 blocks, width 32) with its preprocessor."""
    side = config.get("image_size", 32)
    processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return tiny_vision(folder, CLIPVisionModel, processor, seed=seed, **config)


def tiny_siglip_vision(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A SigLIP vision tower: no class token, an attention-pooling head."""
    return tiny_vision(folder, SiglipVisionModel, SiglipImageProcessorPil(size=_square(config)), seed=seed, **config)


def tiny_eva_g(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """BLIP-2's EVA ViT-g vision tower."""
    return tiny_vision(folder, Blip2VisionModel, BlipImageProcessorPil(size=_square(config)), seed=seed, **config)


def tiny_blip2(
    folder: Path | str, model: Any = Blip2ForConditionalGeneration, *, text: Any = None, seed: int = 0, **q_former: Any
) -> Path:
    """A whole BLIP-2, or InstructBLIP with its Q-Former's tokenizer: a tower (32 px, patch 8, width 32), five queries,
    three blocks of width 16, an LLM of width 32.

    Args:
        folder: Where to write it.
        model: Its class in transformers.
        text: The LLM's configuration; by default an OPT's.
        seed: Of its weights.
        q_former: Fields of the Q-Former's configuration.
    """
    tokenizer = tiny_tokenizer(bos=False)
    small = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}
    opt = OPTConfig(**small, vocab_size=len(tokenizer), ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=99)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32}
    sizes |= {"vocab_size": len(tokenizer) + 1, "max_position_embeddings": 512}
    config = model.config_class(
        vision_config=small | {"image_size": 32, "patch_size": 8, "intermediate_size": 64},
        qformer_config=sizes | q_former,
        text_config=opt if text is None else text,
        num_query_tokens=5,
        image_token_index=len(tokenizer) - 1,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        whole = model(config)
        for parameter in whole.parameters():
            # A matrix is drawn; a norm keeps its ones, a bias moves a little.
            parameter.add_(torch.randn_like(parameter), alpha=_SPREAD)
        whole.save_pretrained(folder)
    if hasattr(whole, "qformer") and hasattr(whole.qformer, "embeddings"):
        tokenizer.save_pretrained(Path(folder) / "qformer_tokenizer")
    return Path(folder)


def tiny_vision(folder: Path | str, model: Any, processor: Any = None, *, seed: int = 0, **config: Any) -> Path:
    """Any tower (`ViTModel`, `Dinov2Model`, `BeitModel`, ...): 32 px, patch 8, three blocks of width 32."""
    settings = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    settings |= {"image_size": 32, "patch_size": 8, "initializer_range": _SPREAD} | config
    processor = processor or ViTImageProcessorPil(size=_square(config))
    return _save(folder, model, model.config_class(**settings), seed, processor)


def tiny_video(folder: Path | str, model: Any = VideoMAEModel, *, seed: int = 0, **config: Any) -> Path:
    """A video tower (`VideoMAEModel`, `TimesformerModel`, `VivitModel`): clips of 4 frames of 32 px, patch 8."""
    settings: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    settings |= {"num_attention_heads": 4, "image_size": 32, "num_frames": 4, "initializer_range": _SPREAD}
    patch = {"tubelet_size": [2, 8, 8]} if model is VivitModel else {"patch_size": 8}
    side = config.get("image_size", 32)
    processor = VideoMAEImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return _save(folder, model, model.config_class(**(settings | patch | config)), seed, processor)


def tiny_native(folder: Path | str, model: Any = Siglip2VisionModel, *, seed: int = 0, **config: Any) -> Path:
    """A tower that reads images at their own size (or a Qwen-VL's): 2 blocks of width 64, images of at most 32 tokens.

    Of Qwen2.5-VL's blocks the first sees windows, the second the whole image.
    """
    settings: dict[str, Any] = {"initializer_range": _SPREAD}
    if model is Siglip2VisionModel:
        settings |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        settings |= config
        processor: Any = Siglip2ImageProcessorPil(patch_size=settings.get("patch_size", 16), max_num_patches=32)
        return _save(folder, model, model.config_class(**settings), seed, processor)
    settings |= {"hidden_size": 64, "num_heads": 4, "depth": 2}
    if model.config_class is Qwen2VLVisionConfig:
        settings |= {"embed_dim": 64}
    else:
        settings |= {"intermediate_size": 128, "out_hidden_size": 64}
        key = "fullatt_block_indexes" if "2_5" in model.config_class.model_type else "deepstack_visual_indexes"
        settings |= {key: [1]}
    tower = model.config_class(**(settings | config))
    side = tower.patch_size * tower.spatial_merge_size
    processor = Qwen2VLImageProcessorPil(patch_size=tower.patch_size, min_pixels=side**2, max_pixels=32 * side**2)
    return _save(folder, model, tower, seed, processor)


def tiny_timm(
    folder: Path | str, architecture: str = "vit_tiny_patch16_224", *, seed: int = 0, **model_args: Any
) -> Path:
    """A timm model in transformers' wrapper; `model_args` go to timm's constructor (`img_size=32`, `depth=2`)."""
    config = TimmWrapperConfig.from_dict({"architecture": architecture, "num_classes": 0, "model_args": model_args})
    return _save(folder, TimmWrapperModel, config, seed, None)


def tiny_whisper(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """A whole Whisper (windows of one second: 50 tokens of width 32, 2 blocks) with its feature extractor."""
    settings = {"vocab_size": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "max_source_positions": 50}
    settings |= {
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
    }
    settings |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    settings |= {"init_std": _SPREAD, "begin_suppress_tokens": None} | config
    extractor = WhisperFeatureExtractor(feature_size=config.get("num_mel_bins", 80), chunk_length=1)
    return _save(folder, WhisperForConditionalGeneration, WhisperConfig(**settings), seed, extractor)


def tiny_ast(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """An Audio Spectrogram Transformer (windows of 64 frames of 16 bands; patches of 8, every 6: 2 rows of 10)."""
    settings: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    settings |= {"num_attention_heads": 4, "patch_size": 8, "frequency_stride": 6, "time_stride": 6}
    settings |= {"max_length": 64, "num_mel_bins": 16, "initializer_range": _SPREAD} | config
    extractor = ASTFeatureExtractor(num_mel_bins=settings["num_mel_bins"], max_length=settings["max_length"])
    return _save(folder, ASTForAudioClassification, ASTConfig(**settings), seed, extractor)


def tiny_clap(folder: Path | str, *, seed: int = 0, words: int = 64, **audio: Any) -> Path:
    """A whole CLAP (windows of a second; 4 rows of 16 tokens of width 32) with its feature extractor.

    Its tower of words knows `words` tokens. `audio` replaces fields of its tower of sounds; with `enable_fusion` it
    fuses.
    """
    settings: dict[str, Any] = {"patch_embeds_hidden_size": 8, "depths": [1, 1, 1], "num_attention_heads": [2, 2, 2]}
    settings |= {"spec_size": 128, "num_mel_bins": 64, "window_size": 4, "hidden_size": 32, "aff_block_r": 2} | audio
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    truncation = "fusion" if settings.get("enable_fusion") else "rand_trunc"
    extractor = ClapFeatureExtractor(
        sampling_rate=16_000, hop_length=160, max_length_s=1, frequency_max=8000, truncation=truncation
    )
    config = ClapConfig(text_config=text | {"vocab_size": words}, audio_config=settings, projection_dim=32)
    return _save(folder, ClapModel, config, seed, extractor)


def tiny_hubert(folder: Path | str, model: Any = HubertModel, *, seed: int = 0, **config: Any) -> Path:
    """HuBERT or its kin (`Wav2Vec2Model`, `WavLMModel`): 400 samples make a token of width 32, 320 more another."""
    settings: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    settings |= {"num_attention_heads": 4, "conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 4}
    settings |= {"num_conv_pos_embeddings": 16, "initializer_range": _SPREAD} | config
    return _save(folder, model, model.config_class(**settings), seed, Wav2Vec2FeatureExtractor())


def tiny_point_bert(folder: Path | str, *, seed: int = 0, **settings: Any) -> tuple[Path, dict[str, Any]]:
    """A Point-BERT as whole models of ULIP hold it, and the settings that read it: 16 groups of 8 points, width 32."""
    small = {"depth": 2, "width": 32, "heads": 4, "encoder_width": 32, "groups": 16, "group_size": 8, "points": 64}
    config = point_bert.PointBertConfig(checkpoint=str(folder), **(small | settings))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = config.build(weights=False).tower.state_dict()
    named = {f"module.point_encoder.{point_bert_name(name)}": tensor.contiguous() for name, tensor in state.items()}
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(named | {"module.logit_scale": torch.zeros(())}, Path(folder) / "model.safetensors")
    return Path(folder), config.model_dump(exclude_defaults=True) | {"kind": config.kind}


def point_bert_name(name: str) -> str:
    """The authors' name of a tensor of Point-BERT."""
    for old, new in reversed(point_bert.NAMES.items()):
        name = name.replace(new, old)
    return name


def tiny_imagebind(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """All towers of ImageBind (2 blocks of width 32, embeddings of 16); every weight is drawn from its own name."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"embed_dim": 32, "num_blocks": 2, "num_heads": 4}
    architecture = _imagebind.Architecture(
        **{
            **{f"{name}_{key}": size for name in _imagebind.Architecture().forms() for key, size in sizes.items()},
            "out_embed_dim": 16,
            **config,
        }
    )
    network = _imagebind.towers(architecture, architecture.forms())
    weights = {name: by_name(name, tensor.shape, seed) for name, tensor in network.state_dict(prefix="towers.").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(architecture.model_dump_json())
    return folder


def tiny_beats(folder: Path | str, *, seed: int = 0, **cfg: Any) -> Path:
    """A BEATs as its authors write it, a classifier behind it: 2 blocks of width 32; each weight by its own name."""
    settings: dict[str, Any] = {"embed_dim": 16, "encoder_layers": 2, "encoder_embed_dim": 32, "conv_pos": 16}
    settings |= {"encoder_ffn_embed_dim": 64, "encoder_attention_heads": 4, "conv_pos_groups": 4, "num_buckets": 32}
    settings |= {"max_distance": 40, "predictor_class": 7, "finetuned_model": True} | cfg
    full = _beats.Architecture.model_validate(settings).model_dump() | settings
    with torch.device("meta"):
        own = _beats.Beats(_beats.Architecture.model_validate(full)).state_dict()
    shapes = {_authors_name(name): tensor.shape for name, tensor in own.items()}
    table = "encoder.layers.0.self_attn.relative_attention_bias.weight"
    shapes |= {"predictor.weight": torch.Size([7, 32]), "predictor.bias": torch.Size([7])}
    weights = {name: by_name(name, shape, seed) for name, shape in shapes.items()}
    if table in weights:
        weights |= {table.replace(".0.", f".{n}."): weights[table] for n in range(1, full["encoder_layers"])}
    Path(folder).mkdir(parents=True, exist_ok=True)
    torch.save({"cfg": full, "model": weights}, Path(folder) / "BEATs_tiny.pt")
    return Path(folder)


def _authors_name(name: str) -> str:
    """The name of a tensor of BEATs in its authors' checkpoints."""
    for authors, ours in _beats.NAMES.items():
        if found := re.match(_beats.beginning(ours), name):
            return authors.replace("*", *found.groups() or [""]) + name[found.end() :]
    return name


def by_name(name: str, shape: torch.Size, seed: int = 0) -> Tensor:
    """A weight that its name and a seed decide: of a norm or scale about one, else about nothing."""
    start = int.from_bytes(hashlib.sha256(f"{name} {seed}".encode()).digest()[:7])
    noise = _SPREAD * torch.randn(shape, generator=torch.Generator().manual_seed(start))
    return noise + 1 if re.search(r"(norm\w*\.weight|weight_g|grep_a|scale)$", name) else noise


def tiny_stable_diffusion(folder: Path | str, *, scheduler: Any = None, seed: int = 0, **unet: Any) -> Path:
    """A Stable Diffusion pipeline folder: 32 px images, 4-channel 16 x 16 latents, 16 text tokens of width 32."""
    folder = Path(folder)
    tokenizer = tiny_clip_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    _save(folder / "text_encoder", CLIPTextModel, text, seed, None)
    tokenizer.save_pretrained(folder / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=32,
        ).save_pretrained(folder / "vae")
        UNet2DConditionModel(**(_UNET | unet)).save_pretrained(folder / "unet")
    (scheduler or DDIMScheduler(**_NOISE)).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(_INDEX.replace("SCHEDULER", type(scheduler or DDIMScheduler()).__name__))
    return folder


_UNET: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}
_NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_NOISE |= {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
_INDEX = """{
  "_class_name": "StableDiffusionPipeline",
  "feature_extractor": [null, null],
  "image_encoder": [null, null],
  "requires_safety_checker": false,
  "safety_checker": [null, null],
  "scheduler": ["diffusers", "SCHEDULER"],
  "text_encoder": ["transformers", "CLIPTextModel"],
  "tokenizer": ["transformers", "CLIPTokenizer"],
  "unet": ["diffusers", "UNet2DConditionModel"],
  "vae": ["diffusers", "AutoencoderKL"]
}
"""


def _language(folder: Path | str, model: Any, config: Any, tokenizer: Any, seed: int, changes: dict[str, Any]) -> Path:
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    settings |= {"max_position_embeddings": 512, "pad_token_id": tokenizer.pad_token_id}
    settings |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    if config is not OPTConfig:
        settings |= {"intermediate_size": 64, "num_key_value_heads": 2, "initializer_range": _SPREAD}
    return _save(folder, model, config(**(settings | changes)), seed, tokenizer)


def _square(config: dict[str, Any]) -> dict[str, int]:
    side = config.get("image_size", 32)
    return {"height": side, "width": side}


def _save(folder: Path | str, model: Any, config: Any, seed: int, companion: Any) -> Path:
    """Draw the weights with `seed`, leaving the global random state as it was, and write all that belongs together."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model(config).save_pretrained(folder)
    if companion is not None:
        companion.save_pretrained(folder)
    return Path(folder)
