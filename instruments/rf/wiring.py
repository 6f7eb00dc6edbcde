"""Which generator reaches which port, through what: the part of a bench file that permits need.

``[ports.NAME]`` with ``max_input_dbm``; ``[[paths]]`` with ``from``, ``to``, ``least_loss_db``,
``attenuators`` and ``calibration`` (the record of its loss, which permits do not look at); see
``docs/instruments.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from bench.tables import Table, read_toml
from instruments.calibration import decibels
from instruments.rf.attenuators import Attenuator
from instruments.rf.levels import Attenuation, Path, Permit, Port, permit


@dataclass(frozen=True, slots=True)
class Fitted:
    """A programmable attenuator in a path, dB.

    ``start_up_db``: what it has after a reboot; ``tolerance_db``: how far the true value may lie
    below the nominal one.
    """

    start_up_db: float
    tolerance_db: float


@dataclass(frozen=True, slots=True)
class Wiring:
    """The paths of each generator, and the attenuators in them, by role."""

    paths: Mapping[str, tuple[Path, ...]]
    fitted: Mapping[str, Fitted]

    def permit(
        self,
        generator: str,
        ceiling_dbm: float,
        crest_db: float,
        attenuators: Mapping[str, Attenuator],
        *,
        beside: Iterable[Permit],
    ) -> Permit:
        """Read the attenuators back now, and permit a level or refuse it.

        Args:
            generator, ceiling_dbm, crest_db: as :func:`instruments.rf.levels.permit`.
            attenuators: the drivers, by role; those of the generator's paths must be there.
            beside: the permits of all other emitters that are on, or may be.

        Raises:
            Excess: a port would get more than it bears, alone or with them, or no path is declared.
            InstrumentError: an attenuator does not read back.
        """
        paths = self.paths.get(generator, ())
        roles = {role for path in paths for role in path.attenuators}
        read = {
            role: self._read(role, attenuators[role]) for role in sorted(roles & set(attenuators))
        }
        return permit(generator, ceiling_dbm, crest_db, paths, read, beside)

    def _read(self, role: str, attenuator: Attenuator) -> Attenuation:
        fitted = self.fitted[role]
        return attenuator.state(fitted.start_up_db, fitted.tolerance_db)


def load_wiring(path: FilePath) -> Wiring:
    """The wiring of a bench file.

    Raises:
        InputError: a broken file, a path from or to nothing that the file has, or an attenuator
            that is given two tolerances.
    """
    return wiring_of(read_toml(path, "the bench file").only((), ("instruments", "ports", "paths")))


def wiring_of(table: Table) -> Wiring:
    """The wiring that the tables of a file describe; other tables are left alone.

    Raises:
        InputError: as :func:`load_wiring`.
    """
    roles = tuple(table.table("instruments").data)
    ports = {
        name: Port(name, decibels(item.only(("max_input_dbm",)), "max_input_dbm"))
        for name, item in table.named("ports").items()
    }
    paths: dict[str, tuple[Path, ...]] = {}
    fitted: dict[str, Fitted] = {}
    for item in table.tables("paths"):
        item.only(("from", "to", "least_loss_db"), ("attenuators", "calibration"))
        generator = item.choice("from", roles)
        inside = item.named("attenuators")
        one = Path(ports[item.choice("to", ports)], decibels(item, "least_loss_db"), tuple(inside))
        paths[generator] = (*paths.get(generator, ()), one)
        for role, part in inside.items():
            found = _fitted(part, role, roles)
            if fitted.setdefault(role, found) != found:
                part.fail("tolerance_db", "differs from another path's", "give one for each")
    return Wiring(paths, fitted)


def _fitted(table: Table, role: str, roles: tuple[str, ...]) -> Fitted:
    table.only(("start_up_db", "tolerance_db"))
    if role not in roles:
        table.fail("start_up_db", f"{role} is no instrument", f"use one of {', '.join(roles)}")
    found = Fitted(decibels(table, "start_up_db"), decibels(table, "tolerance_db"))
    for key in ("start_up_db", "tolerance_db"):
        if decibels(table, key) < 0:
            table.fail(key, "is negative", "give 0 or more")
    return found
