"""What a spectrum analyser does: sweeps, markers, channel power, and when it is overloaded."""

from __future__ import annotations

import numpy as np

from bench.network.radio.levels import summed_dbm
from bench.network.radio.spectrum import trace_dbm
from bench.network.radio.state import Emission
from instruments.simulators.place import Place
from instruments.simulators.scpi_errors import ScpiError
from instruments.simulators.scpi_instrument import Model, ScpiInstrument

LOWEST_HZ, HIGHEST_HZ = 10.0, 13.6e9
MARKERS = 16
_RATIO = 100.0
"""Span to resolution bandwidth while that is coupled."""

MIXER_DBM, INPUT_DBM = 0.0, 30.0
"""Above which the mixer distorts, behind the attenuator, and what the connector bears: taken here,
since no manual says at which level the overload bits are set."""

DBUV_DB = 106.9897
"""From dBm to dBuV in 50 ohm: 10 lg(50 ohm x 1 mW / 1 uV^2)."""


class SpectrumAnalyser(ScpiInstrument):
    """A spectrum analyser; what arrives at its input is what the world holds there.

    A trace is taken by ``INITiate``; while the sweep is continuous, every query takes a new one.
    """

    noise_figure_db = 20.0

    def __init__(self, model: Model, place: Place) -> None:
        super().__init__(model, place)
        self._trace: list[float] | None = None
        self.binary = False
        self.updates = True
        self._overloaded = 0

    def power_on(self) -> None:
        """As after the mains came back."""
        super().power_on()
        self._trace, self.binary, self.updates = None, False, True

    def clear(self) -> None:
        """``*CLS``; events are forgotten too."""
        super().clear()
        self._overloaded = 0

    def reset(self) -> None:
        """``*RST``; the trace is gone."""
        super().reset()
        self._trace, self.binary, self.updates = None, False, True

    @property
    def start_hz(self) -> float:
        """Of the sweep."""
        return self.number("centre") - self.number("span") / 2

    @property
    def stop_hz(self) -> float:
        """Of the sweep."""
        return self.number("centre") + self.number("span") / 2

    @property
    def resolution_hz(self) -> float:
        """−3 dB bandwidth, set or coupled to the span."""
        if self.get("rbw_auto") and self.number("span"):
            return min(10e6, max(1.0, self.number("span") / _RATIO))
        return self.number("rbw")

    def sweep(self) -> None:
        """Measure what arrives, on the noise, with the offset of the display."""
        came = self._came()
        self._overloaded |= self.overload_bits(came)
        trace = trace_dbm(
            came, self.start_hz, self.stop_hz, int(self.number("points")), self.resolution_hz,
            self.noise_figure_db,
        )  # fmt: skip
        shown = np.round(trace + self.number("level_offset") + self.offset, 6)
        if self._trace is not None:
            before = np.array(self._trace)
            held = {"MAXH": np.maximum(shown, before), "MINH": np.minimum(shown, before)}
            held["VIEW"] = before
            shown = held.get(str(self.get("trace_mode")), shown) if self.updates else before
        self._trace = [float(level) for level in shown]

    def _came(self) -> list[Emission]:
        return [arrival.emission for arrival in self.place.arrivals()]

    def overload_bits(self, came: list[Emission] | None = None) -> int:
        """What ``STATus:QUEStionable:POWer`` says of what comes in: bit 0, bit 3."""
        levels = [one.level_dbm for one in (self._came() if came is None else came)]
        total = summed_dbm(levels) + self.offset if levels else float("-inf")
        at_mixer = total - self.number("attenuation")
        return (at_mixer > MIXER_DBM) | (total > INPUT_DBM) << 3

    def take_overloads(self) -> int:
        """What has been overloaded in a sweep since it was asked; asking clears it."""
        bits, self._overloaded = self._overloaded, 0
        return bits

    def in_unit(self, level_dbm: float) -> float:
        """A level in the unit that is set."""
        return round(level_dbm + (DBUV_DB if self.get("unit") == "DBUV" else 0.0), 6)

    def trace(self) -> list[float]:
        """The trace in dBm.

        Raises:
            ScpiError: none has been taken since the settings changed (−230).
        """
        if self.get("continuous"):
            self.sweep()
        if self._trace is None:
            raise ScpiError(-230, "no sweep")
        return self._trace

    def forget(self) -> None:
        """A setting of the sweep has changed."""
        self._trace = None

    def frequencies(self) -> list[float]:
        """Of the points of the trace."""
        points = int(self.number("points"))
        return [float(f) for f in np.linspace(self.start_hz, self.stop_hz, points)]

    def set_range(self, start_hz: float, stop_hz: float) -> None:
        """Set the sweep's range.

        Raises:
            ScpiError: it is not within the instrument's (−222).
        """
        if not LOWEST_HZ <= start_hz <= stop_hz <= HIGHEST_HZ:
            raise ScpiError(-222)
        self.put("centre", (start_hz + stop_hz) / 2)
        self.put("span", stop_hz - start_hz)
        self.forget()

    def search(self, marker: int, *, low: float = 0.0, high: float = float("inf")) -> None:
        """Put a marker on the highest point whose frequency lies between the two.

        Raises:
            ScpiError: there is none (−222).
        """
        pairs = [
            (level, frequency)
            for level, frequency in zip(self.trace(), self.frequencies(), strict=True)
            if low < frequency < high
        ]
        if not pairs:
            raise ScpiError(-222, "no peak")
        self.put("marker", max(pairs)[1], marker)
        self.put("marker_on", True, marker)

    def level_dbm(self, marker: int) -> float:
        """Level of the trace at the marker."""
        place = np.argmin(np.abs(np.array(self.frequencies()) - self.number("marker", marker)))
        return self.trace()[int(place)]

    def markers_off(self) -> None:
        """Switch all markers off."""
        for marker in range(1, MARKERS + 1):
            self.put("marker_on", False, marker)

    def channel_power_dbm(self, width_hz: float) -> float:
        """Power of the trace within a channel at the centre."""
        kept = [
            10 ** (level / 10)
            for level, frequency in zip(self.trace(), self.frequencies(), strict=True)
            if abs(frequency - self.number("centre")) <= width_hz / 2
        ]
        step = self.number("span") / (self.number("points") - 1)
        total = sum(kept) * step / self.resolution_hz
        return 10 * float(np.log10(total)) if total > 0 else -400.0
