"""A device's alarms as lines over a serial port (``protocol = "serial-lines"``).

A line counts when its end has arrived. A port that is open says nothing of who is at its other end:
so the device must say something at least every ``alive``, an alarm or one of the other lines. A
line that cannot be read is no sign of life; each is counted and told.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import serial

from bench.benches.lab.heard import AlarmSource, Heard
from bench.benches.lab.lines import LONGEST_LINE, PARITIES, read_line
from bench.errors import InputError
from bench.units import ns
from instruments.visa.errors import Busy
from instruments.visa.locks import ResourceLock

_READ_S = 0.05
_AGAIN_S = 0.5
_ENDS = re.compile(rb"[\r\n]")


class SerialAlarms(Heard):
    """Reads from entering to leaving, in a thread of its own; opens a port that went again.

    Args:
        source: of ``serial-lines``.
        lock_folder: where the leases are; None: the usual place.
    """

    def __init__(self, source: AlarmSource, *, lock_folder: Path | None = None) -> None:
        super().__init__(source)
        assert source.line is not None, "the file was read"
        self._form = source.line
        self._alive: list[tuple[int, int]] = []
        """Times in which it never said nothing for longer than ``alive``: first and last line."""
        self._lock = ResourceLock("alarms", str(Path(source.host).resolve()), folder=lock_folder)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._stack = ExitStack()
        self._serial: Any = None

    def __enter__(self) -> Self:
        """Open the port.

        Raises:
            InputError: it cannot be had.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._lock)
                self._serial = self._opened()
            except (Busy, serial.SerialException, OSError, ValueError) as error:
                raise InputError(
                    f"cannot be opened ({error})",
                    remedy="give the serial device that the alarms come from",
                    field="device.alarms",
                    value=self._source.host,
                ) from error
            self._stack = stack.pop_all()
        self._thread = threading.Thread(target=self._run, name="serial alarms", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
        if self._serial is not None:
            self._serial.close()
        self._stack.close()

    def absence(self, t0_ns: int, until_ns: int) -> str:
        """As :class:`Heard`: also where nothing was heard for longer than ``alive``."""
        gone = super().absence(t0_ns, until_ns)
        if gone:
            return gone
        most_ns = ns(self._form.alive_s)
        if any(first <= t0_ns and until_ns <= last + most_ns for first, last in self._alive):
            return ""
        return (
            f"were silent for more than {self._form.alive_s:g} s, which is what [device.line] "
            "calls alive: nobody knows whether the device is there"
        )

    # ---- reading -----------------------------------------------------------

    def _opened(self) -> Any:
        form = self._form
        port = serial.Serial(
            self._source.host, form.baud, timeout=_READ_S, bytesize=form.data_bits,
            parity=PARITIES[form.parity], stopbits=form.stop_bits,
        )  # fmt: skip
        port.reset_input_buffer()
        self._connected.append((time.monotonic_ns(), 1))
        return port

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._serial is None:
                    self._serial = self._opened()
                self._read()
            except (serial.SerialException, OSError, ValueError):
                if self._serial is not None:
                    self._serial.close()
                    self._serial = None
                    self._connected.append((time.monotonic_ns(), -1))
                self._stop.wait(_AGAIN_S)

    def _read(self) -> None:
        """Lines until the port is gone; the first may be the end of an older one."""
        buffer, whole = b"", False
        while not self._stop.is_set():
            buffer += self._serial.read(max(1, self._serial.in_waiting))
            now_ns = time.monotonic_ns()
            *lines, buffer = _ENDS.split(buffer)
            for line in lines:
                if line and whole:
                    self._line(now_ns, line)
                whole = True
            if len(buffer) > LONGEST_LINE:
                self.take(now_ns, "a line without an end")
                buffer, whole = b"", False

    def _line(self, now_ns: int, line: bytes) -> None:
        try:
            alarm = read_line(line, self._form, self._source.events)
        except ValueError as error:
            self.take(now_ns, str(error))
            return
        if self._alive and now_ns - self._alive[-1][1] <= ns(self._form.alive_s):
            self._alive[-1] = (self._alive[-1][0], now_ns)
        else:
            self._alive.append((now_ns, now_ns))
        if alarm is not None:
            self.take(now_ns, alarm)
