"""Pictures for tests of reading them: a small one, how it is stored, and how a bad one is refused."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from modalink.errors import MediumError
from modalink.modalities import image

RED_GREEN = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 9, 9], [99, 99, 99], [200, 10, 30]]], np.uint8)


def encoded(picture: Image.Image, format: str, **options) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def refused(source, **options) -> MediumError:
    with pytest.raises(MediumError) as caught:
        image.read(source, **options)
    return caught.value
