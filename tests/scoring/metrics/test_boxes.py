"""Boxes in replies and their overlap."""

import pytest

from modalink.scoring.metrics.boxes import iou, parse, to_pixels

UNIT = (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("reply", "box"),
    [
        ("[0.1, 0.2, 0.3, 0.4]", (0.1, 0.2, 0.3, 0.4)),
        ("It is at [1,2,3,4], not [5,6,7,8].", (1, 2, 3, 4)),
        ("{<12><34><56><78>}", (12, 34, 56, 78)),
        ("<ref>cat</ref><box>(100,200),(300,400)</box>", (100, 200, 300, 400)),
        ("0.1 0.2 0.3 0.4", (0.1, 0.2, 0.3, 0.4)),
        ("[0.1, 0.2, 0.3]", None),
        ("1 2 3 4 5", None),
        ("", None),
        ("nowhere", None),
    ],
)
def test_parse(reply: str, box: tuple[float, ...] | None) -> None:
    assert parse(reply) == box


def test_iou_without_an_extra_pixel() -> None:
    assert iou((0.0, 0.0, 2.0, 2.0), (1.0, 1.0, 3.0, 3.0)) == pytest.approx(1 / 7)
    assert iou(UNIT, UNIT) == 1
    assert iou(UNIT, (1.0, 0.0, 2.0, 1.0)) == 0
    assert iou((1.0, 1.0, 0.0, 0.0), UNIT) == 0
    assert iou((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)) == 0


def test_padded_squares_give_back_their_pad_in_whole_pixels() -> None:
    # A 100 x 51 image is padded to 100 x 100 by 24 pixels above.
    assert to_pixels((0.1, 0.5, 0.2, 0.6), 100.0, 51.0, "square") == pytest.approx((10, 26, 20, 36))
    assert to_pixels((0.1, 0.5, 0.2, 0.6), 51.0, 100.0, "square") == pytest.approx((-14, 50, -4, 60))


@pytest.mark.parametrize(("coordinates", "scale"), [("unit", 1), ("hundred", 100), ("thousand", 1000)])
def test_shares_of_the_image(coordinates: str, scale: float) -> None:
    box = (0.1 * scale, 0.2 * scale, 0.5 * scale, 0.6 * scale)
    assert to_pixels(box, 200.0, 50.0, coordinates) == pytest.approx((20, 10, 100, 30))  # type: ignore[arg-type]
    assert to_pixels((1.0, 2.0, 3.0, 4.0), 200.0, 50.0, "pixel") == (1, 2, 3, 4)
