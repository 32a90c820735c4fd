"""The kit for encoders: a new one needs a test of one line."""

from collections.abc import Sequence
from typing import Any

import torch

from modalink.encoders import verdict_on
from modalink.roles import Encoder, EncoderConfig
from modalink.testing.requirements import (
    check_bare,
    check_batching,
    check_gradients,
    check_preprocessor,
    check_settings,
    check_strict_loading,
    check_units,
    examples,
    require,
)


def check_encoder(config: EncoderConfig, media: Sequence[Any] | None = None, *, from_files: bool = True) -> None:
    """Prove that an encoder publishes what it does, batches, trains, loads strictly and preprocesses purely.

    Args:
        config: Its settings, with a tiny local checkpoint.
        media: Decoded media of a modality that it reads, at least two; the modality's examples if not given.
        from_files: Whether its weights come from the files of a checkpoint.

    Raises:
        AssertionError: It breaks the promise that the message names.
    """
    check_settings(config)
    items = check_preprocessor(config.preprocessor, media or examples(config.reads()))
    if media is None:
        check_units(config.preprocessor(), config.reads(), items)
    encoder = config.build()
    require(isinstance(encoder, Encoder), "an encoder must be an Encoder")
    shape = tuple(items.values.shape[1:])
    require(shape == encoder.unit_shape, f"found preprocessed units {shape}, published {encoder.unit_shape}")
    features = check_batching(encoder, items, "encoding")
    published = tuple(encoder.layout(layout) for layout in items.layouts)
    require(features.layouts == published, f"found features that lie {features.layouts}, published {published}")
    require(features.values.shape[1:] == (encoder.dim,), f"found {features.values.shape[1:]}, published {encoder.dim}")
    told = tuple(config.layout(layout) for layout in items.layouts)
    require(told == published, f"the settings must tell the layouts without weights: {told}, {published}")
    with torch.no_grad():
        again = config.build()(items)
    require(torch.equal(again.values, features.values), "two builds of one checkpoint must be the same")
    tried = verdict_on(config, remember=False)
    require(tried.verdict == "right", f"its miniature must do what it publishes: {tried.reason} ({tried.verdict})")
    check_gradients(encoder.requires_grad_(True), encoder(items).values, encoder.unread)
    check_bare(lambda: config.build(weights=False), encoder)
    if from_files:
        check_strict_loading(config, lambda damaged: damaged.build())
