"""Modality encoders: one file a kind, found by its name; and what is found out about one by trying it."""

from modalink.encoders._lora import built
from modalink.encoders._probing import probe, verdict_on, verify

__all__ = ["built", "probe", "verdict_on", "verify"]
