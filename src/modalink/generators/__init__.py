"""Modality generators: one file a kind, found by its name."""

from modalink.generators._lora import built

__all__ = ["built"]
