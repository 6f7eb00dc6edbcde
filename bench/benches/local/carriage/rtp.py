"""A stream as RTP (:mod:`bench.devices.rtp`), one message each packet. Without RTCP."""

from __future__ import annotations

from bench.benches.local.carriage.base import Place
from bench.benches.local.carriage.datagram import LARGEST_DATAGRAM, Datagram
from bench.devices.ports import Message
from bench.devices.rtp import decode, encode


class Rtp(Datagram):
    """A :class:`~bench.benches.local.carriage.base.Carriage` of RTP over one UDP socket."""

    __slots__ = ("_packets",)

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._packets = place.stream.packets

    def send(self, message: Message) -> None:
        """Send one message as one RTP packet."""
        self._send(encode(message, self._size, self._packets))

    def take(self) -> Message:
        """The message in the next RTP packet."""
        return decode(self._recv(LARGEST_DATAGRAM))
