"""From a reference (`zoo:NAME`, a folder, a hub id) to files, an architecture, weights and an identity."""

from modalink.checkpoints.architectures import architecture
from modalink.checkpoints.hub import locate
from modalink.checkpoints.identities import Identity, identity
from modalink.checkpoints.loading import load

__all__ = ["Identity", "architecture", "identity", "load", "locate"]
