"""What a codec writes it reads back, under any fitting of the picture; odd text is told and never raises."""

import math
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modalink.conversation import Region
from modalink.errors import PromptError, UnknownNameError
from modalink.prompts import CODECS, Picture, codec

EVERY = sorted(CODECS)
SIDES = st.integers(1, 4000)
SOME = settings(max_examples=30, deadline=None, derandomize=True)


@st.composite
def pictures(draw):
    """Pictures as encoders see them: stretched, padded on either side, or cropped to their middle."""
    width, height = draw(SIDES), draw(SIDES)
    fit = draw(st.sampled_from(["stretch", "pad", "crop", "odd"]))
    side = max(width, height) if fit == "pad" else min(width, height)
    across, down = (width - side) // 2, (height - side) // 2
    if fit == "stretch":
        return Picture.whole(width, height)
    if fit == "odd":
        return Picture(width, height, (-width / 3, height / 7, width * 1.1, height * 1.5))
    return Picture(width, height, (across, down, across + side, down + side))


def places(low, high):
    return st.floats(low, high, allow_nan=False).map(lambda place: min(max(place, low), high))


@st.composite
def seen_areas(draw, codec, picture):
    """Areas of the picture that are wholly seen; of every form of the codec."""
    frame = picture.window if codec.seen else (0, 0, picture.width, picture.height)
    across = places(max(frame[0], 0.0), min(frame[2], picture.width))
    down = places(max(frame[1], 0.0), min(frame[3], picture.height))
    count = draw(st.sampled_from([form.size for form in codec.forms]))
    xs, ys = ([draw(each) for _ in range(count // 2)] for each in (across, down))
    if count == 4:
        xs, ys = sorted(xs), sorted(ys)
    return tuple(place for pair in zip(xs, ys, strict=True) for place in pair)


@SOME
@given(st.data(), pictures())
@pytest.mark.parametrize("name", EVERY)
def test_what_is_written_is_read_to_half_a_step(name, data, picture):
    own = codec(name)
    areas = data.draw(st.lists(seen_areas(own, picture), min_size=1, max_size=3))
    text = own.write(areas, picture)
    parsed = own.parse(text, picture)
    assert parsed.unread == ()
    (region,) = parsed.regions
    assert [len(area) for area in region.areas] == [len(area) for area in areas]
    # CogVLM's largest number, 999 of 1000, stands for all that lies behind it.
    reach = 1.0 if own.largest else 0.5
    for before, after in zip(areas, region.areas, strict=True):
        for index, (place, read) in enumerate(zip(before, after, strict=True)):
            assert abs(place - read) <= reach * own.step(picture)[index % 2] * (1 + 1e-9) + 1e-9
            assert 0 <= read <= (picture.width, picture.height)[index % 2]
    assert own.parse(own.write(region.areas, picture), picture).regions == (region,)


@SOME
@given(st.data(), pictures(), st.lists(st.text(max_size=8), min_size=1, max_size=4))
@pytest.mark.parametrize("name", [name for name in EVERY if CODECS[name].phrase[0]])
def test_phrases_come_back_with_their_boxes(name, data, picture, phrases):
    own = codec(name)
    tags = [*own.phrase, "<", ">", "{", "}"]
    phrases = [phrase for phrase in phrases if phrase and not any(tag.strip() in phrase for tag in tags)]
    boxes = [[data.draw(seen_areas(own, picture))] for _ in phrases]
    text = " and ".join(own.write(areas, picture, phrase) for areas, phrase in zip(boxes, phrases, strict=True))
    parsed = own.parse(text, picture)
    assert [region.phrase for region in parsed.regions] == phrases
    assert parsed.unread == ()


@SOME
@given(st.text(alphabet="[]{}<>()0123456789.,;- bpxeén/", max_size=60), pictures())
@example("[" * 50_000 + "1", Picture.whole(3, 4))
@example("[0.1," + " " * 50_000 + "x]", Picture.whole(3, 4))
@example("[" + "9" * 5_000 + "," * 3 + "1e999,nan]", Picture.whole(3, 4))
@pytest.mark.parametrize("name", EVERY)
def test_odd_text_never_raises(name, text, picture):
    own = codec(name)
    parsed = own.parse(text, picture)
    for region in parsed.regions:
        for area in region.areas:
            assert all(map(math.isfinite, area))
            own.write([area], Picture.whole(picture.width, picture.height))
    assert all(isinstance(line, str) and len(line) < 250 for line in parsed.unread)


WIDE = Picture(400, 200, (0, -100, 400, 300))  # padded to a square
BOX = (100.0, 50.0, 300.0, 150.0)


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        ("shikra", "[0.250,0.375,0.750,0.625]", "[0.250,0.375,0.750,0.625;0.250,0.375,0.750,0.625]"),
        (
            "qwen-vl",
            "<ref>a cat</ref><box>(250,250),(749,749)</box>",
            "<ref>a cat</ref><box>(250,250),(749,749)</box><box>(250,250),(749,749)</box>",
        ),
        ("minigpt-v2", "<p>a cat</p> {<25><25><75><75>}", "<p>a cat</p> {<25><25><75><75>}<delim>{<25><25><75><75>}"),
        ("cogvlm", "[[250,250,750,750]]", "[[250,250,750,750;250,250,750,750]]"),
        ("llava-1.5", "[0.25, 0.38, 0.75, 0.62]", "[0.25, 0.38, 0.75, 0.62], [0.25, 0.38, 0.75, 0.62]"),
        ("unit", "[0.250, 0.250, 0.750, 0.750]", "[0.250, 0.250, 0.750, 0.750], [0.250, 0.250, 0.750, 0.750]"),
        ("thousand", "[250, 250, 750, 750]", "[250, 250, 750, 750], [250, 250, 750, 750]"),
        ("pixel", "[100, 50, 300, 150]", "[100, 50, 300, 150], [100, 50, 300, 150]"),
    ],
)
def test_each_codec_writes_as_its_system(name, one, two):
    own = codec(name)
    phrase = "a cat" if own.phrase[0] else ""
    assert own.write([BOX], WIDE, phrase) == one
    assert own.write([BOX, BOX], WIDE, phrase) == two
    assert own.parse(f"I see {two}.", WIDE).regions[0].phrase == phrase
    assert len(own.parse(two, WIDE).regions[0].areas) == 2


def test_points_quadrilaterals_and_phrases_have_their_forms():
    whole = Picture.whole(1000, 1000)
    assert codec("shikra").write([(250, 500)], whole) == "[0.250,0.500]"
    quad = (0, 0, 999, 10, 999, 1000, 1, 1000)
    assert codec("qwen-vl").write([quad], whole) == "<quad>(0,0),(998,10),(998,999),(1,999)</quad>"
    assert codec("cogvlm").write([(5, 86, 40, 1000)], whole) == "[[005,086,040,999]]"
    assert codec("cogvlm").write([(5, 86, 40, 1000)], whole, "a cat") == "a cat [[005,086,040,999]]"


def test_padding_is_undone_and_what_is_cropped_is_left_out():
    assert codec("shikra").parse("[0.000,0.000,1.000,1.000]", WIDE).regions == (Region(((0, 0, 400, 200),)),)
    cropped = Picture(400, 200, (100, 0, 300, 200))
    assert codec("shikra").write([(0, 0, 200, 200)], cropped) == "[0.000,0.000,0.500,1.000]"
    with pytest.raises(PromptError, match=r"of which nothing is seen: the encoder sees \[100, 0, 300, 200\]"):
        codec("shikra").write([(0, 0, 50, 200)], cropped)


@pytest.mark.parametrize(
    ("name", "text", "boxes", "unread"),
    [
        ("shikra", "two [0.1,0.3,0.2,0.4] and [0.3,0.3,0.4,0.4]", 2, []),
        ("shikra", "[ 0.1 , 0.1 ,\n0.2,.2]", 0, ["needed [x,y,x,y] or [x,y]"]),
        ("shikra", "[0.1,0.3,0.2,0.4;0.3,0.3]", 2, []),
        ("shikra", "[0.1,0.3,0.2,0.4;0.3]", 1, ["needed [x,y,x,y] or [x,y]"]),
        ("shikra", "as in [1] [see above]", 0, ["'[1]': needed"]),
        ("shikra", "[0.1,0.1,0.2,1.2]", 0, ["needed numbers from 0 to 1"]),
        ("shikra", "[0.1,-0.1,0.2,0.2]", 0, ["needed numbers from 0 to 1"]),
        ("shikra", "[0.5,0.1,0.2,0.2]", 0, ["its right or lower side lies before the other"]),
        ("shikra", "[0.1,0.0,0.2,0.1]", 0, ["it lies beside the picture, in the padding"]),
        ("shikra", "[0.1,0.3,0.2", 0, ["the text breaks off"]),
        ("shikra", "[[0.1,0.3,0.2,0.4]]", 1, []),
        ("shikra", "[0.1,0.3 [0.1,0.3,0.2,0.4]", 1, ["'[0.1,0.3 ': the text breaks off"]),
        ("cogvlm", "[[1000,000,999,999]]", 0, ["its right or lower side"]),
        ("cogvlm", "[[1,2,3]] [086,540,400,760]", 0, ["needed [[x,y,x,y]]"]),
        ("qwen-vl", "<box>(1,2), (3,4)</box> <box>(1,2)</box>", 1, ["needed <box>(x,y),(x,y)</box> or <quad>"]),
        ("qwen-vl", "<ref>a</ref><ref>b</ref><box>(1,2),(1000,4)</box>", 0, ["needed numbers from 0 to 999"]),
        ("minigpt-v2", "{<1><2><3><4>} <delim> {<5><6><7><101>}", 1, ["needed numbers from 0 to 100"]),
        ("llava-1.5", "[0.1,0.3,0.2,0.4]", 1, []),
        ("pixel", "[0, 0, 401, 200]", 0, ["needed numbers from 0 to 400"]),
        ("thousand", "Nothing is there.", 0, []),
    ],
)
def test_what_cannot_be_read_is_told(name, text, boxes, unread):
    parsed = codec(name).parse(text, WIDE)
    assert sum(len(region.areas) for region in parsed.regions) == boxes
    assert len(parsed.unread) == len(unread)
    for told, needed in zip(parsed.unread, unread, strict=True):
        assert needed in told


@pytest.mark.parametrize(
    ("name", "areas", "phrase", "message"),
    [
        ("minigpt-v2", [(1, 2)], "", "'minigpt-v2' has no form for a point, only for a box"),
        ("shikra", [(1,) * 8], "", "has no form for a quadrilateral, only for a box, a point"),
        ("qwen-vl", [BOX], "a </ref> cat", "needed one without </ref>, which acts in it"),
        ("minigpt-v2", [BOX], "a {1}", "needed one without {, which acts in it"),
    ],
)
def test_what_cannot_be_written_is_refused(name, areas, phrase, message):
    with pytest.raises(PromptError, match=message):
        codec(name).write(areas, WIDE, phrase)


def test_an_unknown_codec_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="shikra"):
        codec("shikara")


@pytest.mark.parametrize("name", EVERY)
def test_areas_that_share_brackets_have_the_same(name):
    own = codec(name)
    assert not own.inside or len({(form.opening, form.closing) for form in own.forms}) == 1
    assert len({form.size for form in own.forms}) == len(own.forms)


def test_the_page_shows_what_each_writes():
    page = Path(__file__).parents[2] / "docs" / "coordinates.md"
    rows = [line.split("|")[1:-1] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    examples = {row[0].strip(" `"): row[2].strip(" `") for row in rows}
    assert examples == {name: own.write([BOX], WIDE) for name, own in CODECS.items()}
