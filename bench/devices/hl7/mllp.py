"""Frames of MLLP: ``<VT> message <FS><CR>`` (HL7 v2.6, implementation guide, appendix C)."""

from __future__ import annotations

from collections.abc import Iterator

START, END = b"\x0b", b"\x1c\x0d"
LARGEST = 1 << 20
"""Bytes of one message at most."""


def frame(message: bytes) -> bytes:
    """A message in its frame.

    Raises:
        ValueError: the message holds a byte that frames are made of.
    """
    if START in message or END[:1] in message:
        raise ValueError("MLLP: a message may not hold 0x0B or 0x1C")
    return START + message + END


class Frames:
    """Cuts what a connection brings into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add ``data`` and give the messages that are now complete.

        Raises:
            ValueError: bytes between frames, an end that is none, or a message too long; the
                connection is of no use any more.
        """
        buffer = self._buffer
        buffer += data
        while buffer:
            if buffer[:1] != START:
                raise ValueError(f"MLLP: a frame begins with 0x0B, not 0x{buffer[0]:02X}")
            end = buffer.find(END[:1])
            if end < 0 or end + 1 == len(buffer):
                if len(buffer) > LARGEST:
                    raise ValueError(f"MLLP: a message of more than {LARGEST} bytes")
                return
            if buffer[end : end + 2] != END:
                raise ValueError("MLLP: 0x1C without 0x0D behind it")
            if buffer.find(START, 1, end) >= 0:
                raise ValueError("MLLP: 0x0B inside a message")
            message = bytes(buffer[1:end])
            del buffer[: end + 2]
            yield message
