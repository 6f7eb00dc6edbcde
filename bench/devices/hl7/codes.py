"""Codes of what is measured and alarmed: ISO/IEEE 11073-10101 where there is one, units of UCUM.

A context-free code is the partition times 65536, plus the code in it. What has no code here goes
under its own name in the bench's local coding system, as HL7 table 0396 provides for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LOCAL = "99TMB"
"""The bench's own coding system (HL7 table 0396: 99 and letters)."""

FIELDS = "99TMBF"
"""As above, for fields of a device's record that HL7 has no place for."""

MDC = "MDC"


@dataclass(frozen=True, slots=True)
class Coded:
    """A code of ISO/IEEE 11073-10101 with its reference identifier."""

    code: int
    refid: str


MONITORING = "182777000^monitoring of patient^SCT"
"""OBR-4 of a set of measurements (PCD-01)."""

ALARM = Coded(196616, "MDC_EVT_ALARM")
PHASE = Coded(68481, "MDC_ATTR_EVENT_PHASE")
STATE = Coded(68482, "MDC_ATTR_ALARM_STATE")

PRIORITIES: Mapping[str, str] = {"high": "PH", "medium": "PM", "low": "PL"}
"""Priorities of IEC 60601-1-8 as PCD-04 writes them."""

PARAMETERS: Mapping[str, Coded] = {
    "heart_rate": Coded(147842, "MDC_ECG_HEART_RATE"),
    "spo2": Coded(150456, "MDC_PULS_OXIM_SAT_O2"),
    "respiration": Coded(151562, "MDC_RESP_RATE"),
    "temperature_mC": Coded(150344, "MDC_TEMP"),
    "systolic": Coded(150021, "MDC_PRESS_BLD_NONINV_SYS"),
    "diastolic": Coded(150022, "MDC_PRESS_BLD_NONINV_DIA"),
    "tidal_volume_ml": Coded(151868, "MDC_VOL_AWAY_TIDAL"),
    "rate": Coded(151586, "MDC_VENT_RESP_RATE"),
    "peep_mbar": Coded(151976, "MDC_VENT_PRESS_AWAY_END_EXP_POS"),
    "minute_volume_ml": Coded(151880, "MDC_VOL_MINUTE_AWAY"),
    "glucose_umol_l": Coded(160184, "MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD"),
}
"""What the simulated sources measure, by their own names (:mod:`bench.devices.monitor.patient`)."""

EVENTS: Mapping[str, Coded] = {"asystole": Coded(199684, "MDC_EVT_ECG_ASYSTOLE")}
"""Alarms of the patient, by the devices' own names."""

UNITS: Mapping[str, str] = {
    "heart_rate": "/min", "spo2": "%", "respiration": "/min", "temperature_mC": "mCel",
    "systolic": "mm[Hg]", "diastolic": "mm[Hg]", "tidal_volume_ml": "mL", "rate": "/min",
    "peep_mbar": "mbar", "peak_mbar": "mbar", "fio2": "%", "minute_volume_ml": "mL/min",
    "rate_ul_h": "uL/h", "volume_ul": "uL", "pressure_mbar": "mbar",
    "blood_flow_ml_min": "mL/min", "venous_mbar": "mbar", "arterial_mbar": "mbar",
    "pan_mrad": "mrad", "tilt_mrad": "mrad", "impedance_ohm": "Ohm", "charge_j": "J",
    "glucose_umol_l": "umol/L", "battery_mv": "mV", "drops": "/min",
}  # fmt: skip
"""Units by the sources' own names (UCUM, case sensitive); a number of things has none."""
