"""From a reference (`zoo:NAME`, a folder, a hub id) to files, an architecture, weights and an identity."""

from modalink.hub.architectures import architecture, component, is_known
from modalink.hub.causes import first_line
from modalink.hub.files import FETCHING, fetching, locate
from modalink.hub.identities import Identity, identity, identity_of
from modalink.hub.loading import load

__all__ = [
    "FETCHING",
    "Identity",
    "architecture",
    "component",
    "fetching",
    "first_line",
    "identity",
    "identity_of",
    "is_known",
    "load",
    "locate",
]
