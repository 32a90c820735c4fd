"""LoRA that was trained elsewhere: a folder of adapters of peft, or a system's checkpoint with such adapters in it.

Sources of names: peft's `adapter_model.safetensors`, and what `state_dict` gives where a system keeps its LLM as
`llama_model`: yxuansu/PandaGPT, code/model/openllama.py, and Vision-CAIR/MiniGPT-4, minigpt4/models/base_model.py.
"""

from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from modalink import hub, json_files, tensor_files
from modalink.errors import PartError

NAMES = {
    r"(?:module\.)?(?:\w+_model\.)?base_model\.model\.(.+)\.(lora_[AB])\.(?:default\.)?weight$": r"\1.\2",
}
"""Names there -> the layer here, and which of its two maps."""
_CONFIG = "adapter_config.json"
_AGREE = {"r": "rank", "lora_alpha": "alpha"}
_PLAIN = {"use_rslora": False, "use_dora": False, "bias": "none", "rank_pattern": {}, "alpha_pattern": {}}
"""What peft's settings must say: what adapters here are."""


def load_lora(llm: PreTrainedModel, checkpoint: str, revision: str | None, *, rank: int, alpha: int) -> None:
    """Put trained adapters into those of an LLM, in place, strictly.

    Args:
        llm: An LLM with adapters.
        checkpoint: A folder or hub id.
        revision: Commit or tag of a hub id.
        rank: Width of the LLM's adapters.
        alpha: Their scale, times the rank.

    Raises:
        PartError: The checkpoint has no adapters of this form, or those of other layers or another size.
    """
    folder = hub.locate(checkpoint, revision, weights=False)
    _check_settings(folder, checkpoint, {"rank": rank, "alpha": alpha})
    held = hub.tensors(checkpoint, names=NAMES, revision=revision)
    if not held:
        raise PartError(f"{checkpoint}: found no LoRA, needed tensors as base_model.model. ... .lora_A.weight of peft")
    own = {_place(name): parameter for name, parameter in llm.named_parameters() if ".lora_" in name}
    found = {tensor.shape[0] for name, tensor in held.items() if name.endswith("lora_A")}
    if found != {rank}:
        raise PartError(f"{checkpoint}: its adapters have rank {min(found)}, found {rank}; set rank: {min(found)}")
    targets = sorted({name.rsplit(".", 2)[1] for name in held})
    where = f"{checkpoint}: LoRA of {', '.join(targets)}"
    hub.refuse(where, type(llm), "lacks adapters of layers that have some", own.keys() - held.keys(), ())
    hub.refuse(where, type(llm), "holds adapters of layers that have none", held.keys() - own.keys(), ())
    tensor_files.fill(own, held, folder, PartError)


def _place(name: str) -> str:
    """`...q_proj.lora_A.NAME.weight` without the adapter's name."""
    return name.rsplit(".", 2)[0]


def _check_settings(folder: Path, checkpoint: str, own: dict[str, int]) -> None:
    if not (folder / _CONFIG).is_file():
        return
    settings = json_files.read(folder / _CONFIG, PartError, dict[str, Any])
    if settings.get("peft_type", "LORA") != "LORA":
        raise PartError(f"{checkpoint}: found adapters of type {settings['peft_type']}, needed LORA")
    for key, setting in _AGREE.items():
        if (theirs := settings.get(key, own[setting])) != own[setting]:
            raise PartError(f"{checkpoint}: was trained with {setting} {theirs}, found {own[setting]}; set {setting}")
    for key, plain in _PLAIN.items():
        if settings.get(key, plain) not in (plain, None):
            raise PartError(
                f"{checkpoint}: found {key} {settings[key]!r:.60} in {_CONFIG}, needed plain LoRA ({plain})"
            )
