"""The bench file of a laboratory: what stands there, what each piece is used for, how it is wired.

``docs/lab.md`` describes it. Reading opens nothing and asks nobody.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.benches.lab.alarms import alarm_source
from bench.benches.lab.arming import Arming, arming_of
from bench.benches.lab.contacts import DeviceContacts, contacts_of
from bench.benches.lab.heard import AlarmSource
from bench.benches.lab.other_network import (
    OTHER,
    OtherNetwork,
    Sent,
    other_network_of,
    sent_of,
)
from bench.benches.lab.places import WantedPlace, place_of
from bench.benches.lab.powering import DevicePower, power_of
from bench.benches.lab_file import BENCH_TABLES, LabLink, links_of
from bench.errors import InputError
from bench.network.radio.world import Waveform as WorldWaveform
from bench.network.radio.world import World
from bench.network.radio.world_files import TABLES, world_of
from bench.tables import Table, read_toml
from instruments.calibration import Record, decibels, load_calibration
from instruments.contacts.files import KIND as BOX
from instruments.contacts.files import ConfiguredBox, box_of
from instruments.files import Configured, instruments_of
from instruments.modem.files import KIND as MODEM
from instruments.modem.files import ConfiguredModem, modem_of
from instruments.rf.wiring import Wiring, wiring_of
from instruments.simulators.faults import Fault, read_fault
from instruments.simulators.lab import Described
from instruments.visa.generic import Generic

SIMULATED = "simulated"
"""The address of what the bench simulates itself."""

SHIPPED = Path(__file__).with_name("data") / "simulated-lab.toml"
"""A whole simulated laboratory: ``--bench simulated-lab``, and what a reader copies and edits."""

Packets = Literal["virtual", "local", "links"]
PACKETS: tuple[Packets, ...] = ("virtual", "local", "links")

METHODS = ("conducted", "multi-chamber", "anechoic", "open")
"""ANSI C63.27's test methods; all but the first radiate."""

USES: Mapping[str, str] = {
    "interferer": "signal-generator",
    "monitor": "spectrum-analyser",
    "path-attenuator": "attenuator",
    "supply": "power-supply",
    "modem": "modem",
    "cell": "radio-tester",
    "cell-attenuator": "attenuator",
    "neighbour-cell": "radio-tester",
    OTHER: "radio-tester",
    "contacts": BOX,
}
"""What an instrument can be bound to, and the family that it must be of."""

_SIMULATORS: Mapping[str, tuple[str, str]] = {
    "rohde-schwarz-smw": ("signal-generator", "smw"),
    "keysight-mxg": ("signal-generator", "mxg"),
    "rohde-schwarz-fs": ("spectrum-analyser", "fsx"),
    "keysight-x": ("spectrum-analyser", "x-series"),
    "mini-circuits-rcdat": ("attenuator", "rcdat"),
    "mini-circuits-rcdat-scpi": ("attenuator", "rcdat"),
    "mini-circuits-spdt": ("switch", "rc-spdt"),
    "keysight-e36312a": ("power-supply", "e36312a"),
    "rohde-schwarz-cmw500-lte": ("radio-tester", "cmw500"),
    "keysight-infiniivision": ("oscilloscope", "infiniivision"),
    MODEM: ("modem", "quectel-lte"),
    BOX: ("contact-box", "lines-1"),
}
"""What simulates the hardware of each driver."""


@dataclass(frozen=True, slots=True)
class Waveform:
    """A signal that the interfering generator has.

    ``file``: its name there; ``bandwidth_hz``, ``duty``, ``burst_s`` (0: always on): what it
    holds; ``crest_db``: its peak to average ratio while it is on.
    """

    name: str
    file: str
    bandwidth_hz: float
    crest_db: float
    duty: float = 1.0
    burst_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Verification:
    """How paths are verified before a run.

    ``level_dbm``: of the generator; ``noise_bandwidth_ratio``: noise bandwidth of the analyser's
    filters against their −3 dB bandwidth (1.065 for Gaussian ones).
    """

    level_dbm: float
    noise_bandwidth_ratio: float


@dataclass(frozen=True, slots=True)
class CellLevels:
    """RS EPRE of the serving cell and of its neighbour at their testers, dBm per 15 kHz."""

    serving_dbm: float = -85.0
    neighbour_dbm: float = -95.0


@dataclass(frozen=True)
class BenchFile:
    """A laboratory, as its file says.

    ``roles``: use to instrument; ``simulated``: the instruments whose address says so;
    ``calibrations``: from generator and port to the record of that way; ``corrections``: from an
    instrument to the record of its level error; ``victim``: the port of the device's radio.
    ``other_network``: whom the device may disturb; ``sent``: what a simulated one sends.
    """

    path: Path
    title: str
    packets: Packets
    method: str
    enclosure: str
    victim: str
    roles: Mapping[str, str]
    instruments: Mapping[str, Configured]
    modems: Mapping[str, ConfiguredModem]
    boxes: Mapping[str, ConfiguredBox]
    simulated: frozenset[str]
    described: Mapping[str, Described]
    world: World
    wiring: Wiring
    calibrations: Mapping[tuple[str, str], str]
    corrections: Mapping[str, str]
    records: Mapping[str, Record]
    waveforms: Mapping[str, Waveform]
    verification: Verification
    links: Mapping[str, LabLink] = field(default_factory=dict)
    arming: Arming | None = None
    alarms: AlarmSource | None = None
    contacts: DeviceContacts | None = None
    power: DevicePower | None = None
    labgrid: WantedPlace | None = None
    cells: CellLevels = CellLevels()
    other_network: OtherNetwork | None = None
    sent: Sent | None = None

    @property
    def wholly_simulated(self) -> bool:
        """Whether nothing in it is hardware: then nothing is shared, and nothing can break."""
        return not set(self.all_instruments) - self.simulated and not self.links

    @property
    def all_instruments(self) -> tuple[str, ...]:
        """The names of the instruments, whatever they are."""
        return (*self.instruments, *self.modems, *self.boxes)

    def role(self, use: str) -> str:
        """The instrument that is bound to a use.

        Raises:
            InputError: none is.
        """
        if use not in self.roles:
            raise InputError(
                "no instrument is bound to it",
                remedy=f'add {use} = "INSTRUMENT" to [roles]',
                file=self.path,
                field=f"roles.{use}",
            )
        return self.roles[use]


def load_bench_file(path: Path) -> BenchFile:
    """Read a bench file and the calibration files that it names.

    Raises:
        InputError: a broken file, an unknown key, a name that nothing bears, a radiated method
            without an enclosure.
    """
    table = read_toml(path, "the bench file")
    table.only(("title",), BENCH_TABLES)
    tables = table.named("instruments")
    modems = {r: modem_of(r, t) for r, t in tables.items() if t.data.get("kind") == MODEM}
    boxes = {r: box_of(r, t) for r, t in tables.items() if t.data.get("kind") == BOX}
    others = {r: t for r, t in tables.items() if r not in modems and r not in boxes}
    instruments = instruments_of(others, path)
    if not tables and "links" not in table.data:
        table.fail("instruments", "names none", "add [instruments.ROLE], or [links.NAME]")
    simulated = frozenset(r for r, t in tables.items() if t.data["address"] == SIMULATED)
    waveforms = {name: _waveform(name, one) for name, one in table.named("waveforms").items()}
    world, described = _simulation(table, tables, simulated, waveforms)
    wiring = wiring_of(table)
    victim = table.text("victim", "")
    if victim and victim not in table.table("ports").data:
        table.fail("victim", "is no port", f"use one of {', '.join(table.table('ports').data)}")
    records = _records(table, path)
    return BenchFile(
        path=path,
        title=table.text("title"),
        packets=_packets(table),
        method=(method := table.choice("method", METHODS, "conducted")),
        enclosure=_enclosure(table, method),
        victim=victim,
        roles=(roles := _roles(table, instruments, modems, boxes)),
        instruments=instruments,
        modems=modems,
        boxes=boxes,
        simulated=simulated,
        described=described,
        world=world,
        wiring=wiring,
        calibrations=_path_records(table, records),
        corrections=_corrections(table, tables, records),
        records=records,
        waveforms=waveforms,
        verification=_verification(table),
        links=links_of(table) if "links" in table.data else {},
        arming=arming_of(table.table("arming")) if "arming" in table.data else None,
        alarms=alarm_source(table.table("device")) if "device" in table.data else None,
        contacts=_contacts(table, roles, boxes, simulated),
        power=_power(table, roles, instruments, simulated),
        labgrid=place_of(table.table("labgrid")) if "labgrid" in table.data else None,
        cells=_cell_levels(table),
        other_network=_other_network(table, roles),
        sent=sent_of(table.table("simulated")),
    )


def _other_network(table: Table, roles: Mapping[str, str]) -> OtherNetwork | None:
    if (OTHER in roles) != ("other_network" in table.data):
        remedy = f'give both [other_network] and {OTHER} = "INSTRUMENT" in [roles], or neither'
        table.fail("other_network", f"and the role {OTHER} belong together", remedy)
    if roles.get(OTHER) in [name for use, name in roles.items() if use != OTHER]:
        table.fail(f"roles.{OTHER}", "has another use too", "give it a tester of its own")
    if OTHER not in roles:
        if table.table("simulated").data.get("receivers"):
            table.fail("simulated.receivers", "are of no network", f"bind {OTHER} in [roles]")
        return None
    return other_network_of(table.table("other_network"))


def _contacts(
    table: Table,
    roles: Mapping[str, str],
    boxes: Mapping[str, ConfiguredBox],
    simulated: frozenset[str],
) -> DeviceContacts | None:
    if "contacts" not in table.data:
        return None
    if "contacts" not in roles:
        table.fail("contacts", "has no box", 'add contacts = "INSTRUMENT" to [roles]')
    if "links" not in table.data or roles["contacts"] in simulated:
        table.fail("contacts", "are a real device's", "give it [links], and the box its address")
    found = contacts_of(table.table("contacts"), boxes[roles["contacts"]])
    if found.lights and "device" in table.data:
        table.fail("device", "and contacts.lights both tell alarms", "keep one of them")
    return found


def _power(
    table: Table,
    roles: Mapping[str, str],
    instruments: Mapping[str, Configured],
    simulated: frozenset[str],
) -> DevicePower | None:
    if "power" not in table.data:
        return None
    if "supply" not in roles:
        table.fail("power", "has no supply", 'add supply = "INSTRUMENT" to [roles]')
    if "links" not in table.data or roles["supply"] in simulated:
        table.fail("power", "is a real device's", "give it [links], and the supply its address")
    return power_of(table.table("power"), instruments[roles["supply"]])


def _cell_levels(table: Table) -> CellLevels:
    inner = table.table("cells").only((), ("serving_dbm", "neighbour_dbm"))
    given = {name: decibels(inner, name) for name in inner.data}
    return CellLevels(**given)


def _packets(table: Table) -> Packets:
    word = table.choice("packets", PACKETS, "links" if "links" in table.data else "virtual")
    if (word == "links") != ("links" in table.data):
        table.fail("packets", "does not fit [links]", 'a file with [links] has packets = "links"')
    if "device" in table.data and word != "links":
        table.fail("device", "is a real one", 'give it [links] and packets = "links"')
    return next(known for known in PACKETS if known == word)


def _enclosure(table: Table, method: str) -> str:
    enclosure = table.text("shielded_enclosure", "")
    if method != METHODS[0] and not enclosure:
        table.fail(
            "shielded_enclosure",
            f"is missing: {method} radiates",
            "name the shielded enclosure in which the test is done, or test conducted",
        )
    return enclosure


def _roles(
    table: Table,
    instruments: Mapping[str, Configured],
    modems: Mapping[str, ConfiguredModem],
    boxes: Mapping[str, ConfiguredBox],
) -> Mapping[str, str]:
    families = {name: one.kind.family for name, one in instruments.items()}
    families |= dict.fromkeys(modems, MODEM) | dict.fromkeys(boxes, BOX)
    roles = table.table("roles").only((), USES)
    found = {}
    for use in roles.data:
        name = roles.choice(use, families)
        family = families[name]
        if family != USES[use]:
            roles.fail(use, f"is a {family}", f"name a {USES[use]}")
        if name in instruments and issubclass(instruments[name].kind, Generic):
            roles.fail(
                use,
                "is described in a file, and this use needs a driver",
                f"name a {family} of another kind; leave {name} in [instruments]: its [safe] holds",
            )
        found[use] = name
    return found


def _records(table: Table, path: Path) -> Mapping[str, Record]:
    found: dict[str, Record] = {}
    for name in table.texts("calibration"):
        for key, record in load_calibration(path.parent / name).items():
            if key in found:
                table.fail("calibration", f"{key} is in two files", "keep one of them")
            found[key] = record
    return found


def _path_records(table: Table, records: Mapping[str, Record]) -> Mapping[tuple[str, str], str]:
    found = {}
    for item in table.tables("paths"):
        if "calibration" in item.data:
            name = _known(item, "calibration", records)
            found[item.text("from"), item.text("to")] = name
    return found


def _corrections(
    table: Table, tables: Mapping[str, Table], records: Mapping[str, Record]
) -> Mapping[str, str]:
    corrections = table.table("corrections").only((), tables)
    return {name: _known(corrections, name, records) for name in corrections.data}


def _known(table: Table, key: str, records: Mapping[str, Record]) -> str:
    """A record's name; one that is not there is told by the check and by the run: INCONCLUSIVE."""
    name = table.text(key)
    if not records:
        table.fail(key, "and no calibration file is named", 'add calibration = ["FILE.toml"]')
    return name


def _waveform(name: str, table: Table) -> Waveform:
    table.only(("file", "bandwidth", "crest_db"), ("duty", "burst"))
    crest_db = decibels(table, "crest_db")
    if crest_db < 0:
        table.fail("crest_db", "is negative", "give 0 or more")
    found = Waveform(
        name,
        table.text("file"),
        table.quantity("bandwidth", "Hz"),
        crest_db,
        table.quantity("duty", "1") if "duty" in table.data else 1.0,
        table.quantity("burst", "s") if "burst" in table.data else 0.0,
    )
    if found.duty <= 0 or (found.duty < 1) != (found.burst_s > 0):
        table.fail("duty", "and burst do not fit", "below 1 give both; at 1 neither")
    return found


def _verification(table: Table) -> Verification:
    inner = table.table("verification").only((), ("level_dbm", "noise_bandwidth_ratio"))
    data = inner.data
    ratio = decibels(inner, "noise_bandwidth_ratio") if "noise_bandwidth_ratio" in data else 1.065
    if not 1 <= ratio <= 2:
        inner.fail("noise_bandwidth_ratio", "is none of a filter", "give 1 to 2, like 1.065")
    level_dbm = decibels(inner, "level_dbm") if "level_dbm" in data else -40.0
    return Verification(level_dbm, ratio)


def _simulation(
    table: Table,
    tables: Mapping[str, Table],
    simulated: frozenset[str],
    waveforms: Mapping[str, Waveform],
) -> tuple[World, Mapping[str, Described]]:
    """The world of ``[simulated]``, and a simulator for each instrument that is one.

    A simulated device needs the world, also where all instruments are hardware.
    """
    inner = table.table("simulated").only((), (*TABLES, "faults", "device"))
    world = world_of(inner)
    files = {
        one.file: WorldWaveform(one.bandwidth_hz, one.duty, one.burst_s)
        for one in waveforms.values()
    }
    world = World(
        world.emitters, world.cells, world.paths, world.receivers, {**world.waveforms, **files}
    )
    faults = inner.table("faults").only((), simulated)
    return world, {
        role: _described(role, tables[role], faults) for role in tables if role in simulated
    }


def _described(role: str, table: Table, faults: Table) -> Described:
    kind = table.text("kind")
    if kind not in _SIMULATORS:
        table.fail("address", f"nothing simulates a {kind}", "give the address of a real one")
    simulator, dialect = _SIMULATORS[kind]
    found: tuple[Fault, ...] = tuple(
        read_fault(text, field=faults.field(role), file=faults.file) for text in faults.texts(role)
    )
    return Described(simulator, dialect, 0, found)


def today() -> datetime.date:
    """The date that calibrations are compared with, where no other is given."""
    return datetime.datetime.now(datetime.UTC).date()
