"""Site acceptance: that an instrument, as it stands there, was seen to do what its driver says.

A driver that was never verified on hardware certifies nothing until ``bench check FILE --accept``
has passed with it. The record stands beside the bench file (``NAME.acceptance.json``). It holds for
one instrument, one firmware and one driver; simulated instruments are never accepted.
"""

from __future__ import annotations

import datetime
import fnmatch
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.benches.lab.laboratory import Laboratory
from bench.errors import InputError
from instruments.contacts.box import ContactBox
from instruments.modem.modem import Modem
from instruments.visa.generic import Generic
from instruments.visa.properties import Instrument
from instruments.visa.resources import Identity

FORMAT = 1

Driver = type[Instrument] | type[Modem] | type[ContactBox]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One instrument that was accepted.

    ``driver``: its name (:func:`driver_name`); ``date``: ISO 8601; ``verified``: what was seen.
    """

    role: str
    driver: str
    manufacturer: str
    model: str
    serial: str
    firmware: str
    date: str
    verified: tuple[str, ...]

    def covers(self, role: str, driver: str, found: Identity) -> bool:
        """Whether it is of this instrument, as it answers now."""
        return (self.role, self.driver) == (role, driver) and found == Identity(
            self.manufacturer, self.model, self.serial, self.firmware
        )


def acceptance_path(bench_file: Path) -> Path:
    """Where the acceptances of a bench file are."""
    return bench_file.with_name(f"{bench_file.stem}.acceptance.json")


def acceptances(bench_file: Path) -> tuple[Acceptance, ...]:
    """What was accepted; empty where nothing was.

    Raises:
        InputError: the file is there and cannot be read.
    """
    path = acceptance_path(bench_file)
    if not path.exists():
        return ()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}")
        return tuple(
            Acceptance(**{**one, "verified": tuple(one["verified"])}) for one in data["accepted"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"is no record of acceptances ({error})",
            remedy="remove it, and accept the site again",
            file=path,
        ) from error


def accept(
    bench_file: Path, laboratory: Laboratory, verified: Mapping[str, Iterable[str]],
    on: datetime.date,
) -> tuple[Acceptance, ...]:  # fmt: skip
    """Record the acceptance of instruments; earlier records of others stay.

    Args:
        bench_file: the bench file.
        laboratory: entered.
        verified: what was seen of each, by role.
        on: today.

    Raises:
        InputError: the record cannot be written.
    """
    here = answering(laboratory)
    new = tuple(
        Acceptance(
            role,
            driver_name(here[role][0]),
            **asdict(here[role][1]),
            date=on.isoformat(),
            verified=tuple(seen),
        )
        for role, seen in verified.items()
    )
    kept = tuple(one for one in acceptances(bench_file) if one.role not in verified)
    path = acceptance_path(bench_file)
    data = {"format": FORMAT, "accepted": [asdict(one) for one in (*kept, *new)]}
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})", remedy="make its folder writable", file=path
        ) from error
    return new


def answering(laboratory: Laboratory) -> dict[str, tuple[Driver, Identity]]:
    """Each instrument that answers, or answered: its driver, and who it is."""
    found: dict[str, tuple[Driver, Identity]] = {
        role: (type(laboratory.instruments[role]), session.identity)
        for role, session in laboratory.sessions.items()
    }
    found |= {role: (type(one), one.identity) for role, one in laboratory.modems.items()}
    return found | {role: (type(one), one.identity) for role, one in laboratory.boxes.items()}


def standing(laboratory: Laboratory, accepted: Iterable[Acceptance]) -> list[dict[str, Any]]:
    """Each instrument of a laboratory: who it is, and whether it can back a certification."""
    accepted = tuple(accepted)
    found = []
    for role, (driver, identity) in answering(laboratory).items():
        simulated = role in laboratory.file.simulated
        on_site = any(one.covers(role, driver_name(driver), identity) for one in accepted)
        seen = verified_on(driver, identity)
        found.append(
            {
                "role": role,
                "driver": driver_name(driver),
                **asdict(identity),
                "simulated": simulated,
                "verified_on": seen,
                "accepted": on_site,
                "certifiable": not simulated and bool(seen or on_site),
                "reason": _reason(simulated, seen, on_site),
            }
        )
    return found


def driver_name(driver: Driver) -> str:
    """The name of its class; of a described one also which description: it is the driver."""
    if issubclass(driver, Generic):
        return f"{driver.__name__} sha256:{driver.description}"
    return driver.__name__


def verified_on(driver: Driver, found: Identity) -> list[dict[str, str]]:
    """The hardware of this model and firmware on which the driver was seen to work."""
    return [
        asdict(one)
        for one in driver.verified_on
        if fnmatch.fnmatchcase(found.model.lower(), one.model.lower())
        and (not one.firmware or one.firmware == found.firmware)
    ]


def _reason(simulated: bool, seen: list[dict[str, str]], on_site: bool) -> str:
    if simulated:
        return "is simulated"
    if seen or on_site:
        return ""
    return "its driver was never verified on this hardware: bench check FILE --accept"
