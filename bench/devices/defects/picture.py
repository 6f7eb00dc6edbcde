"""Defects of what the doctor sees, and of which stream goes first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.devices.defects.defect import CONSOLE, IMAGING, MONITOR, ROBOT, Defect
from bench.devices.shaping import ShapingTraits
from bench.devices.traits import Traits

_BOTH = (ROBOT, CONSOLE)
_WATCHERS = (MONITOR, ROBOT, CONSOLE, IMAGING)


def _screen(**changes: object) -> Callable[[Traits, float], Traits]:
    return lambda t, _: replace(t, screen=replace(t.screen, **changes))  # type: ignore[arg-type]


def _readout(**changes: object) -> Callable[[Traits, float], Traits]:
    return lambda t, _: replace(t, readout=replace(t.readout, **changes))  # type: ignore[arg-type]


def _nerves(**changes: object) -> Callable[[Traits, float], Traits]:
    return lambda t, _: replace(t, nerves=replace(t.nerves, **changes))  # type: ignore[arg-type]


def _shaping(traits: Traits, shaping: ShapingTraits) -> Traits:
    return replace(traits, studio=replace(traits.studio, shaping=shaping))


DEFECTS = (
    Defect(
        "frozen-shown-live",
        "a frozen picture keeps its live sign",
        ("FAIL-2",),
        _screen(marks=False),
        machines=_BOTH,
    ),
    Defect(
        "late-freeze",
        "a frozen picture is marked late",
        ("FAIL-2",),
        lambda t, size: replace(t, screen=replace(t.screen, late_s=size)),
        size=0.4,
        timed=True,
        machines=_BOTH,
    ),
    Defect(
        "any-packet-is-live",
        "takes whatever arrives for a sign that the picture lives",
        ("FAIL-2",),
        _screen(any_packet=True),
        machines=_BOTH,
    ),
    Defect(
        "looped-picture",
        "repeats old frames and takes them for new ones",
        ("FAIL-2",),
        _screen(loops=True),
        machines=_BOTH,
    ),
    Defect(
        "scaled-display",
        "shows three tenths more delay, loss and jitter than there is",
        ("MON-1",),
        _readout(scale=1.3),
        machines=_BOTH,
    ),
    Defect(
        "stuck-display",
        "the display of the network never refreshes",
        ("MON-1",),
        _readout(refreshes=False),
        machines=_BOTH,
    ),
    Defect(
        "late-display",
        "the display of the network lags",
        ("MON-1",),
        lambda t, size: replace(t, readout=replace(t.readout, behind_s=size)),
        size=2.5,
        timed=True,
        machines=_BOTH,
    ),
    Defect(
        "lossless-display",
        "the display of the network hides the loss",
        ("MON-1",),
        _readout(hides_loss=True),
        machines=_BOTH,
    ),
    Defect(
        "nervous-delay",
        "alarms at eight tenths of its delay limit",
        ("MON-3",),
        _nerves(at=0.8),
        machines=_WATCHERS,
    ),
    Defect(
        "nervous-silence",
        "alarms at half the silence that its limit allows",
        ("MON-3",),
        _nerves(silence_at=0.5),
        machines=_WATCHERS,
    ),
    Defect(
        "cries-wolf",
        "alarms now and then for nothing",
        ("MON-3",),
        lambda t, size: replace(t, nerves=replace(t.nerves, every_s=size)),
        size=70.0,
        timed=True,
        machines=_WATCHERS,
    ),
    Defect(
        "never-sheds",
        "lets all streams suffer when the rate falls",
        ("PATH-2", "US-1"),
        lambda t, _: _shaping(t, ShapingTraits(sheds=False)),
        machines=_BOTH,
    ),
    Defect(
        "starves-the-top",
        "the stream of highest priority gives way first",
        ("PATH-2", "US-1"),
        lambda t, _: _shaping(t, ShapingTraits(order="top-first")),
        machines=_BOTH,
    ),
    Defect(
        "sheds-in-wrong-order",
        "of the lower streams the more important give way first",
        ("PATH-2", "US-1"),
        lambda t, _: _shaping(t, ShapingTraits(order="reversed")),
        machines=_BOTH,
    ),
    Defect(
        "sheds-late",
        "streams give way late",
        ("PATH-2", "US-1"),
        lambda t, size: _shaping(t, ShapingTraits(after_s=size)),
        size=3.0,
        timed=True,
        machines=_BOTH,
    ),
    Defect(
        "undeclared-stream",
        "sends a stream that its profile does not name",
        ("PATH-1",),
        lambda t, _: replace(t, studio=replace(t.studio, undeclared=True)),
        machines=_BOTH,
    ),
    Defect(
        "out-of-step",
        "plays voice and pictures as each is ready",
        ("SYNC-1",),
        lambda t, _: replace(t, play_out=replace(t.play_out, aligns=False)),
        machines=_BOTH,
    ),
    Defect(
        "late-sound",
        "plays the voice behind the pictures",
        ("SYNC-1",),
        lambda t, size: replace(t, play_out=replace(t.play_out, sound_late_s=size)),
        size=0.115,
        timed=True,
        machines=_BOTH,
    ),
)
