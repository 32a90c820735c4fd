"""The pictures of a video stream by their times: only what leads to the wanted ones is decoded, from a key frame on.

A picture is shown from its own time stamp until the next one's, so that frames of any rate are found by their times.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from av import VideoFrame
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.video.stream import VideoStream
from PIL import Image

from modalink.errors import MediumError
from modalink.modalities import _pixels

_FAR_S = 2.0
"""What lies further ahead may be reached faster from a key frame than by decoding all that lies between."""
_EARLIER_S = (0.0, 2.0, 8.0, 32.0, math.inf)
"""Some containers find a place behind the one that is sought; it is then sought so much earlier."""
_LEAST_WORK, _PACKET_WORK = 2**17, 2**10
"""A small picture is no less work than one of so many pixels, and a packet that is read as much as so many."""
_FORWARD = {
    (1, 0, 0, 1): None,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
"""What the first two columns of a display matrix do to the pixels."""


class Shown(NamedTuple):
    """A decoded picture, and since when it is shown, in seconds from the first."""

    time_s: float
    frame: VideoFrame

    @property
    def end_s(self) -> float:
        """Until when it is shown at least."""
        ticks, tick = self.frame.duration or 0, self.frame.time_base
        return self.time_s + float(ticks * tick if tick else 0)


class Footage:
    """The pictures of an open stream; to be gone through once.

    Args:
        container: The open container.
        stream: The stream in it.
        label: What errors call the medium.
        max_pixels: Most pixels of a picture.
        max_work: Most pixels that are decoded.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, label: str, *, max_pixels: int, max_work: int
    ) -> None:
        self._container, self._stream, self._label = container, stream, label
        self._max_pixels, self._max_work, self._work = max_pixels, max_work, 0
        self._tick_s = float(stream.time_base or 1)
        self._start_s = (stream.start_time or 0) * self._tick_s
        self._far_s = _FAR_S
        stream.codec_context.options = {"max_pixels": str(max_pixels)}

    def __iter__(self) -> Iterator[Shown]:
        """All pictures.

        Raises:
            MediumError: With the reason `no_frames`, `damaged`, `truncated` or `too_large`.
        """
        empty = True
        for shown in self._decoded():
            empty = False
            yield shown
        if empty:
            raise MediumError(self._label, "no_frames", "holds no picture that can be decoded; fetch or write it again")

    def at(self, times_s: Sequence[float], slack_s: float) -> Iterator[Shown]:
        """The pictures that are shown at some times.

        Args:
            times_s: Times in ascending order.
            slack_s: How long the last picture may stay.

        Raises:
            MediumError: As when all are decoded; also `truncated` where the pictures end too long before a time.
        """
        following = iter(self)
        shown = next(following)
        ahead: Shown | None = shown
        for time_s in times_s:
            reached = time_s + self._tick_s / 2
            if ahead is not None and time_s - ahead.time_s > self._far_s and self._has_key_between(ahead, time_s):
                following = self._from_key_before(reached, ahead.time_s)
                shown = next(following)
                ahead = shown
            while ahead is not None and ahead.time_s <= reached:
                shown, ahead = ahead, next(following, None)
            if ahead is None and time_s > shown.end_s + slack_s:
                detail = f"its pictures end at {shown.end_s:.1f} s, needed the one at {time_s:.1f} s; fetch it again"
                raise MediumError(self._label, "truncated", detail)
            yield shown

    def key_times_s(self) -> list[float]:
        """When the pictures are shown that can be decoded without others; nothing is decoded."""
        return sorted({time_s for time_s, packet in self._packets() if packet.is_keyframe})

    def end_s(self) -> float | None:
        """When the last picture ends, by its time stamp; None where there is none. Nothing is decoded."""
        ends = [time_s + (packet.duration or 0) * self._tick_s for time_s, packet in self._packets()]
        return max(ends, default=None)

    def _packets(self) -> "Iterator[tuple[float, Packet[VideoStream]]]":
        for packet in self._container.demux(self._stream):
            self._spend(_PACKET_WORK)
            stamp = packet.dts if packet.pts is None else packet.pts
            if packet.size and stamp is not None and not packet.is_discard:
                yield max(0.0, stamp * self._tick_s - self._start_s), packet

    def _decoded(self) -> Iterator[Shown]:
        time_s = 0.0
        for packet in self._container.demux(self._stream):
            self._spend(_PACKET_WORK)
            if packet.is_corrupt:
                raise MediumError(self._label, "truncated", f"is cut or damaged behind {time_s:.1f} s; fetch it again")
            for frame in packet.decode():
                self._check(frame, time_s)
                time_s = max(time_s, 0.0 if frame.time is None else frame.time - self._start_s)
                yield Shown(time_s, frame)

    def _check(self, frame: VideoFrame, time_s: float) -> None:
        if frame.width * frame.height > self._max_pixels:
            raise too_large(self._label, frame.width, frame.height, self._max_pixels)
        self._spend(max(_LEAST_WORK, frame.width * frame.height))
        if frame.is_corrupt:
            raise MediumError(self._label, "damaged", f"has a damaged picture behind {time_s:.1f} s; fetch it again")

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > self._max_work:
            detail = f"needs more than {self._max_work:,} pixels decoded to reach what is wanted; cut or scale it down"
            raise MediumError(self._label, "too_large", detail)

    def _has_key_between(self, ahead: Shown, time_s: float) -> bool:
        """Whether a key frame may lie between; for sure not where an index of all frames has none."""
        entries = self._stream.index_entries
        if not 0 < self._stream.frames <= len(entries):
            return True
        found = entries.search_timestamp(round((time_s + self._start_s) / self._tick_s))
        return found >= 0 and entries[found].timestamp * self._tick_s - self._start_s > ahead.time_s

    def _from_key_before(self, reached_s: float, position_s: float) -> Iterator[Shown]:
        """Pictures from the last key frame that is not behind a time, or from an earlier one."""
        for earlier_s in _EARLIER_S:
            place = round((max(0.0, reached_s - earlier_s) + self._start_s) / self._tick_s)
            self._container.seek(place, stream=self._stream)
            following = self._decoded()
            shown = next(following, None)
            if shown is not None and shown.time_s <= reached_s:
                break
        else:
            raise MediumError(self._label, "damaged", f"its index leads nowhere at {reached_s:.1f} s; write it again")
        if shown.time_s <= position_s:
            self._far_s *= 2  # nothing was gained
        yield shown
        yield from following


def too_large(label: str, width: int, height: int, max_pixels: int) -> MediumError:
    """The error for pictures that are larger than is read."""
    detail = f"has pictures of {width} x {height} pixels, at most {max_pixels:,} are read; scale it down"
    return MediumError(label, "too_large", detail)


def picture(frame: VideoFrame, label: str) -> Image.Image:
    """A frame in RGB, turned as its display matrix says; transparent parts lie on white."""
    clear = any(component.is_alpha for component in frame.format.components)
    image = Image.fromarray(frame.to_ndarray(format="rgba" if clear else "rgb24"))
    turn = _FORWARD.get(_directions(frame))
    image = image if turn is None else image.transpose(turn)
    return _pixels.rgb(image, label) if clear else image


def _directions(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Where the display matrix of a frame leads its rows and columns, as signs."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(found, SideData) or len(matrix := bytes(found)) < 36:
        return (1, 0, 0, 1)
    a, b, _, c, d = (round(number / 65536) for number in struct.unpack("=9i", matrix[:36])[:5])
    return a, b, c, d
