"""A tiny ImageBind: towers of all its modalities."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from modalink.encoders import _imagebind
from modalink.testing.checkpoints._drawn import by_name
from modalink.testing.tokenizers import tiny_clip_tokenizer


def tiny_imagebind(folder: Path | str, *, seed: int = 0, **config: Any) -> Path:
    """All towers of ImageBind (2 blocks of width 32, embeddings of 16), with a tokenizer in the order of CLIP's.

    Every weight is drawn from its own name.
    """
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
    tiny_clip_tokenizer(length=_imagebind.WORDS, marks_last=True).save_pretrained(folder)
    return folder
