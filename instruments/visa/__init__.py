"""Transactions with instruments: locked, checked, recorded, and never trusted after a timeout."""

from instruments.visa.channels import SCPI, Channel, Dialect
from instruments.visa.errors import InstrumentError
from instruments.visa.plan import Plan
from instruments.visa.readings import Reading, Taint
from instruments.visa.replay import Playback
from instruments.visa.resources import Identity, Resource
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript, read_transcript

__all__ = [
    "SCPI",
    "Channel",
    "Dialect",
    "Identity",
    "InstrumentError",
    "Plan",
    "Playback",
    "Reading",
    "Resource",
    "Session",
    "Taint",
    "Transcript",
    "read_transcript",
]
