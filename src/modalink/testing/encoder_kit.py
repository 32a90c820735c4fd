"""The kit for encoders: a new one needs a test of one line."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from modalink.roles import Encoder, EncoderConfig
from modalink.testing.requirements import (
    check_bare,
    check_batching,
    check_gradients,
    check_preprocessor,
    check_settings,
    check_strict_loading,
    example_images,
    require,
)


def check_encoder(config: EncoderConfig, media: Sequence[Any] | None = None, *, from_files: bool = True) -> None:
    """Prove that an encoder publishes what it does, batches, trains, loads strictly and preprocesses purely.

    Args:
        config: Its settings, with a tiny local checkpoint.
        media: Decoded media of its modality, at least two; images if not given.
        from_files: Whether its weights come from the files of a checkpoint.

    Raises:
        AssertionError: It breaks the promise that the message names.
    """
    check_settings(config)
    values = check_preprocessor(config.preprocessor, media or example_images())
    encoder: Any = config.build()
    require(isinstance(encoder, nn.Module) and isinstance(encoder, Encoder), "an encoder must have its role's members")
    features = check_batching(encoder, values, "encoding")
    published = (len(values), encoder.tokens_per_item, encoder.dim)
    require(tuple(features.shape) == published, f"found features {tuple(features.shape)}, published {published}")
    require(
        encoder.grid is None or math.prod(encoder.grid) == encoder.tokens_per_item,
        f"a grid must hold all tokens: {encoder.grid}, {encoder.tokens_per_item}",
    )
    with torch.no_grad():
        again = config.build()(values)
    require(torch.equal(again, features), "two builds of one checkpoint must be the same")
    check_gradients(encoder.requires_grad_(True), encoder(values), getattr(encoder, "unread", ()))
    check_bare(lambda: config.build(weights=False), encoder)
    if from_files:
        check_strict_loading(config, lambda damaged: damaged.build())
