"""The two sides of a monitor as they are played: each behind a power switch, with its memory."""

from __future__ import annotations

from bench.devices.monitor.gateway import Gateway, conditions
from bench.devices.monitor.patient import PatientSimulator
from bench.devices.monitor.station import Station
from bench.devices.ports import Endpoint, Port
from bench.devices.power import Powered
from bench.devices.profile import DeviceProfile
from bench.devices.store import Medium
from bench.devices.traits import Traits


def bedside(profile: DeviceProfile, traits: Traits, port: Port) -> Endpoint:
    """The patient side: the gateway, and the patient whom the bench plays."""
    medium, patient = Medium(), PatientSimulator(port, conditions(profile))
    log = traits.audit.medium()
    return Powered(lambda gate: Gateway(profile, traits, gate, medium, log, patient), port)


def station(profile: DeviceProfile, traits: Traits, port: Port) -> Endpoint:
    """The doctor side."""
    medium, log = Medium(), traits.audit.medium()
    return Powered(lambda gate: Station(profile, traits, gate, medium, log), port)
