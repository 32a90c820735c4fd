"""From a reference (`zoo:NAME`, a folder, a hub id) to files, an architecture, weights and an identity."""

from modalink.hub.advice import without_advice
from modalink.hub.architectures import architecture, component, is_known
from modalink.hub.bars import without_bars
from modalink.hub.building import building
from modalink.hub.causes import first_line, foreign
from modalink.hub.files import FETCHING, checkpoint_files, fetching, is_hub_id, locate, weight_files
from modalink.hub.identities import BESIDE, Identity, identity, identity_of
from modalink.hub.loading import load, read, refuse
from modalink.hub.originals import load_original, settings_beside
from modalink.hub.outlines import outline
from modalink.hub.papers import LARGEST_SIDE
from modalink.hub.pieces import tensors

__all__ = [
    "BESIDE",
    "FETCHING",
    "LARGEST_SIDE",
    "Identity",
    "architecture",
    "building",
    "checkpoint_files",
    "component",
    "fetching",
    "first_line",
    "foreign",
    "identity",
    "identity_of",
    "is_hub_id",
    "is_known",
    "load",
    "load_original",
    "locate",
    "outline",
    "read",
    "refuse",
    "settings_beside",
    "tensors",
    "weight_files",
    "without_advice",
    "without_bars",
]
