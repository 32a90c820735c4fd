"""Things of the tiny world for a page: pictures that move, and sounds, as data URLs without a script."""

from modalink import modalities
from modalink.tiny_world.media import SHOW
from modalink.tiny_world.worlds import Shown


def data_url(shown: Shown) -> str:
    """A picture as PNG, a clip and a turning cloud of points as moving WebP, a sound as WAV."""
    return modalities.preview(shown.modality, SHOW[shown.modality](shown.thing)).url
