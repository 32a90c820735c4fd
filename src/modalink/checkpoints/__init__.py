"""From a reference (`zoo:NAME`, a folder, a hub id) to files, an architecture, weights and an identity."""

from modalink.checkpoints.architectures import architecture, component, is_known
from modalink.checkpoints.causes import first_line
from modalink.checkpoints.hub import locate
from modalink.checkpoints.identities import Identity, identity
from modalink.checkpoints.loading import load

__all__ = ["Identity", "architecture", "component", "first_line", "identity", "is_known", "load", "locate"]
