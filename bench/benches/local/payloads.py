"""Payloads of a simulated device's streams, as somebody makes and reads them who has no keys."""

from __future__ import annotations

from bench.benches.local.layout import LARGEST_PAYLOAD
from bench.devices import rtp, wire
from bench.devices.ports import Message
from bench.devices.profile import Stream


def payload_of(message: Message, stream: Stream) -> bytes:
    """The payload of a message on that stream; longer than the stream's own where it must be."""
    if stream.carriage == "rtp" and message.body is None:
        return rtp.encode(message, stream.payload_bytes, stream.packets)
    try:
        return wire.encode(message, stream.payload_bytes)
    except ValueError:
        return wire.encode(message, LARGEST_PAYLOAD)


def read(payload: bytes, stream: Stream) -> Message:
    """The message in a payload of that stream.

    Raises:
        ValueError: there is none that could be read.
    """
    return rtp.decode(payload) if stream.carriage == "rtp" else wire.decode(payload)
