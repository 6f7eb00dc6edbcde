"""The streams that every monitor has beside its heartbeats, and whose device each one is of."""

from __future__ import annotations

from bench.devices.profile import DeviceProfile, Stream

ACKNOWLEDGEMENT = "acknowledgement"
ALARM = "alarm"
_RECORDS = "-records"


def sources(profile: DeviceProfile) -> tuple[str, ...]:
    """The devices at the bedside: ``pump`` where there is a stream ``pump-records``."""
    names = (stream.name for stream in profile.active_streams)
    return tuple(name.removesuffix(_RECORDS) for name in names if name.endswith(_RECORDS))


def records_of(profile: DeviceProfile, source: str) -> Stream:
    """The stream on which the records of a source leave."""
    return profile.stream(source + _RECORDS)


def live_of(profile: DeviceProfile, source: str) -> tuple[Stream, ...]:
    """What a source sends the doctor all the time, whatever it measures: waveforms, pictures."""
    own = records_of(profile, source)
    return tuple(
        stream
        for stream in profile.active_streams
        if stream.name.startswith(source + "-") and stream != own and stream.source == "patient"
    )
