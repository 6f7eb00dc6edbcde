"""The kinds of simulated instruments: one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bench.errors import InputError
from instruments.simulators.contact_box import ContactBox, LineWire
from instruments.simulators.faults import Subject
from instruments.simulators.mini_circuits import Attenuator, Switch
from instruments.simulators.modem import AtWire, Modem
from instruments.simulators.oscilloscope import infiniivision
from instruments.simulators.place import Place
from instruments.simulators.power_supply import e36312a
from instruments.simulators.radio_tester import INSTANCES, cmw500
from instruments.simulators.signal_generator import mxg, smw
from instruments.simulators.spectrum_analyser import fsw, x_series
from instruments.simulators.wires import LineOrHttpWire, ScpiWire, Wire


@dataclass(frozen=True)
class Kind:
    """A kind of instrument.

    Attributes:
        dialects: what makes one, by the name of its dialect; the first is the default.
        wire: how messages travel.
        ports: what its ports are called in a world, by what they do: ``emits``, ``attenuates``,
            ``switches``, ``receives``.
        terminal: it is reached through a pseudo terminal, not a TCP port.
        http: the same port also answers HTTP.
    """

    dialects: Mapping[str, Callable[[Place], Subject]]
    wire: Callable[[], Wire]
    ports: Mapping[str, tuple[str, ...]]
    terminal: bool = False
    http: bool = False


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "signal-generator": Kind({"smw": smw, "mxg": mxg}, ScpiWire, {"emits": ("1", "2")}),
        "spectrum-analyser": Kind(
            {"fsx": fsw, "x-series": x_series}, ScpiWire, {"receives": ("1",)}
        ),
        "attenuator": Kind(
            {"rcdat": Attenuator}, LineOrHttpWire, {"attenuates": ("1",)}, http=True
        ),
        "switch": Kind(
            {"rc-spdt": Switch}, LineOrHttpWire, {"switches": tuple(Switch.NAMES)}, http=True
        ),
        "radio-tester": Kind(
            {"cmw500": cmw500},
            ScpiWire,
            {"emits": tuple(str(n) for n in range(1, INSTANCES + 1))},
        ),
        "power-supply": Kind({"e36312a": e36312a}, ScpiWire, {}),
        "oscilloscope": Kind({"infiniivision": infiniivision}, ScpiWire, {}),
        "contact-box": Kind({"lines-1": ContactBox}, LineWire, {}, terminal=True),
        "modem": Kind({"quectel-lte": Modem}, AtWire, {"receives": ("1",)}, terminal=True),
    }
)
"""What ``bench simulate instrument`` can be asked for."""


def make(kind: str, place: Place, dialect: str | None = None, *, field: str = "KIND") -> Subject:
    """An instrument.

    Raises:
        InputError: no such kind, or none of this dialect.
    """
    dialects = kind_of(kind, field=field).dialects
    if dialect is not None and dialect not in dialects:
        raise InputError(
            f"is no dialect of {kind}",
            remedy=f"use {', '.join(dialects)}",
            field="dialect",
            value=dialect,
        )
    return dialects[dialect or next(iter(dialects))](place)


def kind_of(kind: str, *, field: str = "KIND", file: object = None) -> Kind:
    """A kind by its name.

    Raises:
        InputError: there is none.
    """
    if kind not in KINDS:
        raise InputError(
            "is no kind of instrument",
            remedy=f"use {', '.join(KINDS)}",
            field=field,
            value=kind,
            file=file,
        )
    return KINDS[kind]
