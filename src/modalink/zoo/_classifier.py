"""What the classifiers of the zoo share: a small network of their own, and how it is written and loaded."""

import json
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from pydantic import PositiveInt
from torch import nn
from typing_extensions import TypedDict

from modalink import json_files, tensor_files
from modalink.errors import PartError

PARTS = Path(__file__).parent / "parts"


class _Config(TypedDict):
    """What the part's `config.json` holds."""

    width: PositiveInt


Net = TypeVar("Net", bound=nn.Module)


class Classifier(Generic[Net]):
    """Reads media of the tiny world back into what they show; trained alone, it had no part in making any."""

    part: ClassVar[str]
    """Folder of the part that ships, below `parts`."""
    network: ClassVar[Any]
    """The network, built by its width."""

    def __init__(self, net: Net) -> None:
        self.net = net

    def save(self, folder: Path) -> None:
        """Write config and weights (bfloat16) into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {"model_type": f"modalink_{self.part}", "width": self.net.width}
        (folder / "config.json").write_text(json.dumps(config) + "\n")
        weights = {name: value.to(torch.bfloat16) for name, value in self.net.state_dict().items()}
        tensor_files.save(weights, folder / "model.safetensors")

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Load the classifier that ships with the package, or one from another folder."""
        folder = folder or PARTS / cls.part
        net = cls.network(width=json_files.read(folder / "config.json", PartError, _Config)["width"])
        weights = tensor_files.read(folder / "model.safetensors", PartError)
        net.load_state_dict({name: value.float() for name, value in weights.items()})
        return cls(net.eval())
