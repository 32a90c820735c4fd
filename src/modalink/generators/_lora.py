"""Generators as a system has them: frozen, with what learns in their denoisers.

Which layers get adapters where nobody says so is what diffusers' own training scripts do (train_text_to_image_lora.py).
"""

from torch import nn

from modalink.adapters.layers import inject, targeted
from modalink.adapters.lora import library_config
from modalink.roles import DenoiserLora, Generator, GeneratorConfig

_USUAL = ("to_q", "to_k", "to_v", "to_out.0")


def built(config: GeneratorConfig, *, weights: bool = True) -> Generator:
    """A generator as a system has it: frozen, with what learns in its denoiser.

    Args:
        config: Its settings.
        weights: Whether it has the checkpoint's weights, or only its architecture.

    Raises:
        PartError: It cannot be built, or adapters find no place in it.
    """
    generator = config.build(weights=weights).requires_grad_(False).eval()
    if config.lora is not None:
        _add_lora(config.denoiser_of(generator), config.lora, f"generator {config.kind} ({config.checkpoint})")
    return generator


def _add_lora(denoiser: nn.Module, spec: DenoiserLora, where: str) -> None:
    named: dict[str, set[str]] = {}
    for name, module in denoiser.named_modules():
        if isinstance(module, nn.Linear):
            named.setdefault(_last_name(name), set()).add(name)
    usual = [target for target in _USUAL if target in named]
    names = targeted(named, spec.targets, lambda: usual, checkpoint=where, key="lora.targets", what="linear layer")
    inject(denoiser, library_config(spec, names))


def _last_name(name: str) -> str:
    """What a layer is called in its block; of one in a list the number says nothing by itself."""
    *_, before, last = f".{name}".rsplit(".", 2)
    return f"{before}.{last}" if last.isdecimal() else last
