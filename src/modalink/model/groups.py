"""Train groups: the parts of a composite, by the names that a stage's `train` and saved references use."""

from collections.abc import Mapping

from torch import nn

Groups = Mapping[str, list[tuple[str, nn.Parameter]]]
"""Name of a group -> names and parameters in it."""

PREFIXES = {
    "model.encoders.": "inputs.{}.encoder",
    "model.input_projectors.": "inputs.{}.projector",
    "output_projectors.": "outputs.{}.projector",
}


def group_of(name: str) -> str:
    """The train group that a parameter belongs to, from its name in `ModalinkForConditionalGeneration`."""
    for prefix, group in PREFIXES.items():
        if name.startswith(prefix):
            return group.format(name.removeprefix(prefix).split(".")[0])
    if ".lora_" in name:
        return "llm.lora"
    return "llm.new_tokens" if name.endswith("new_rows") else "llm"
