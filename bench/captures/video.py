"""Decoding recorded video: pictures with their times, one at a time.

Needs PyAV (the optional extra ``video``); nothing else here does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.units import NS_PER_S

_STARTS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"OggS", b"FLV\x01", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"\x00\x00\x00\x01",
    b"\x00\x00\x01\x67", b"YUV4MPEG2 ", b"DKIF",
)  # fmt: skip
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")
_TS_PACKET = 188


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded picture: when it is due, and its luma, shape ``(height, width)``."""

    t_ns: int
    luma: NDArray[np.uint8]


def is_video(path: Path) -> bool:
    """Whether a file looks like recorded video, by its first bytes; not by its name.

    MP4 and QuickTime, Matroska, AVI, MPEG, Ogg, FLV, IVF, Y4M, and bare H.264 or H.265.
    """
    try:
        with path.open("rb") as file:
            head = file.read(2 * _TS_PACKET + 1)
    except OSError:
        return False
    transport = len(head) > _TS_PACKET and head[0] == head[_TS_PACKET] == 0x47
    avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    return head.startswith(_STARTS) or head[4:8] in _BOXES or avi or transport


def pictures(path: Path) -> Iterator[Picture]:
    """Decode the first video stream of a file, in order of presentation.

    Where the file gives a picture no time, it comes one frame period after the one before it.

    Raises:
        InputError: PyAV is not there, the file cannot be decoded, or holds no video.
    """
    av = _library()
    try:
        # With its protocol: a name like "a:b.mp4" is none of another.
        with av.open(f"file:{path}") as container:
            if not container.streams.video:
                raise InputError("holds no video stream", remedy="give a recorded video", file=path)
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate
            period_ns = round(NS_PER_S / rate) if rate else 0
            due_ns = 0
            for frame in container.decode(stream):
                if frame.pts is not None and frame.time_base is not None:
                    due_ns = round(frame.pts * frame.time_base * NS_PER_S)
                yield Picture(due_ns, _luma(frame))
                due_ns += period_ns
    except (av.error.FFmpegError, ValueError) as error:
        raise InputError(
            f"cannot be decoded ({error})", remedy="give a whole recording in a common format",
            file=path,
        ) from error  # fmt: skip


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        raise InputError(
            "decoding video needs PyAV, which is not installed",
            remedy="pip install telemed-bench[video]",
            field="analyse",
        ) from error
    return av


def _luma(frame: Any) -> NDArray[np.uint8]:
    """The luma of a picture. Planar 8-bit YUV has it as its first plane; others are converted."""
    if frame.format.name.startswith(("yuv4", "yuvj4", "nv12", "gray")) and _eight_bits(frame):
        plane = frame.planes[0]
        rows = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
        return rows[: frame.height, : frame.width]
    converted: NDArray[np.uint8] = frame.to_ndarray(format="gray")
    return converted


def _eight_bits(frame: Any) -> bool:
    return all(component.bits == 8 for component in frame.format.components)
