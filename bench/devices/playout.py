"""Presenting voice, video and ultrasound in step: a play-out buffer over decoders.

A unit (a video frame, a piece of sound) is presented ``play_out`` after its capture, or as soon as
it is decoded where that is later. Pictures take ``decoding`` to decode, sound takes none. A sensor
at screen and loudspeaker sees the marks that were made at the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from bench.devices.ports import Message, Port
from bench.devices.profile import Stream
from bench.devices.traffic import MARK
from bench.units import ns


@dataclass(frozen=True, slots=True)
class PlayOutTraits:
    """``aligns``: false presents each stream as soon as it can. ``sound_late_s``: of the sound."""

    aligns: bool = True
    sound_late_s: float = 0.0


class PlayOut:
    """Presents the units of some streams.

    Args:
        streams: those presented.
        limits: the device's ``play_out_s`` and ``decoding_s``; without them each unit is presented
            as it arrives.
        traits: how it does it.
        port: where timers, and what sensors see, leave.
        show: called ``(now_ns, code, number)`` when a unit is presented.
    """

    def __init__(
        self,
        streams: Iterable[Stream],
        limits: Mapping[str, float],
        traits: PlayOutTraits,
        port: Port,
        show: Callable[[int, int, int], None],
    ) -> None:
        self._streams = {stream.code: stream for stream in streams}
        self._buffered = "play_out_s" in limits
        self._play_out_ns = ns(limits.get("play_out_s", 0.0)) if traits.aligns else 0
        decoding_ns = ns(limits.get("decoding_s", 0.0))
        sound_late_ns = ns(traits.sound_late_s)
        self._decoding_ns: dict[int, int] = {}
        self._late_ns: dict[int, int] = {}
        for code, stream in self._streams.items():
            sound = stream.served.presents == "sound"
            self._decoding_ns[code] = 0 if sound else decoding_ns
            self._late_ns[code] = sound_late_ns if sound else 0
        self._port = port
        self._show = show

    def unit(self, now_ns: int, message: Message) -> None:
        """A unit arrived, whole enough to be presented."""
        code = message.stream
        if not self._buffered:
            self._present(message, now_ns)
            return
        ready = now_ns + self._decoding_ns[code]
        due = max(ready, message.sent_ns + self._play_out_ns) + self._late_ns[code]
        self._port.at(due, partial(self._present, message))

    def _present(self, message: Message, now_ns: int) -> None:
        self._show(now_ns, message.stream, message.seq)
        if message.value != MARK:
            name = self._streams[message.stream].name
            self._port.signal(now_ns, "presented", {"stream": name, "mark": message.value})
