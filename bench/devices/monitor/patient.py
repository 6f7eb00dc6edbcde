"""The patient, as a simulator of the bench plays one at the sensors of a monitor.

It is no part of the device: what it applies to a sensor is the bench's own, independent word of
what was to be measured. It has power when the device has none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from bench.devices.ports import Port

PARAMETERS: Mapping[str, Mapping[str, int]] = {
    "monitor": {
        "heart_rate": 72, "spo2": 97, "respiration": 16, "temperature_mC": 36800,
        "systolic": 120, "diastolic": 78,
    },
    "ventilator": {
        "tidal_volume_ml": 450, "rate": 14, "peep_mbar": 8, "peak_mbar": 22, "fio2": 40,
        "minute_volume_ml": 6300,
    },
    "pump": {"rate_ul_h": 12500, "volume_ul": 2100, "pressure_mbar": 310},
    "dialysis": {"blood_flow_ml_min": 180, "venous_mbar": 90, "arterial_mbar": 120},
    "camera": {"pan_mrad": 120, "tilt_mrad": 40, "zoom": 3},
    "defibrillator": {"impedance_ohm": 72, "charge_j": 150, "shocks": 1},
    "glucose": {"glucose_umol_l": 5600},
    "capsule": {"frame": 1000, "battery_mv": 2950},
    "infusion": {"rate_ul_h": 8000, "drops": 20},
}  # fmt: skip
"""What each device at the bedside measures, and around which value, as whole numbers."""


class PatientSimulator:
    """Applies values to the sensors, each time others; says so on the contacts of the bench.

    Args:
        port: of the bench itself.
        conditions: the states of the patient that the device has an alarm for; the first is the
            one that the actions bring about.
    """

    def __init__(self, port: Port, conditions: tuple[str, ...]) -> None:
        self._port = port
        self._conditions = conditions
        self._serial: dict[str, int] = {}
        self.condition = ""

    def measure(self, now_ns: int, source: str) -> dict[str, object]:
        """The device takes a measurement: ``source``, ``serial`` and ``values``.

        No two values of a source follow each other unchanged.
        """
        serial = self._serial[source] = self._serial.get(source, -1) + 1
        digest = hashlib.sha256(f"{source}/{serial}".encode()).digest()
        values = {
            name: middle + digest[place] % 8 + (serial % 2) * 8
            for place, (name, middle) in enumerate(PARAMETERS.get(source, {"value": 100}).items())
        }
        applied: dict[str, object] = {"source": source, "serial": serial, "values": values}
        self._port.contact(now_ns, "measurement", applied)
        return applied

    def operate(self, now_ns: int, action: str) -> None:
        """``patient-alarm``: into a state that the device alarms on; ``patient-well``: out of it.

        A patient of whom the device alarms nothing stays well.
        """
        condition = {"patient-alarm": self._conditions[:1], "patient-well": ("",)}.get(action)
        if condition and condition[0] != self.condition:
            self.condition = condition[0]
            self._port.contact(now_ns, "patient-state", {"state": self.condition})
