"""``bench check FILE``: every piece of a laboratory, what is missing, and the remedy.

The laboratory is taken, made safe, looked at, and left safe.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.benches.check import Finding
from bench.benches.lab.acceptance import acceptances, standing
from bench.benches.lab.accepting import NOBODY, Person, try_box, try_modem, watches_of
from bench.benches.lab.cells import ROLES, Cells
from bench.benches.lab.exposing import NotCalibrated, Settings, Unverified
from bench.benches.lab.file import BenchFile, today
from bench.benches.lab.laboratory import Laboratory
from bench.devices.profile import DeviceProfile
from bench.errors import InputError
from instruments.calibration import Record, validity
from instruments.emulators.refusals import find_links
from instruments.emulators.rtnetlink import links as present_links
from instruments.modem.modem import Modem
from instruments.visa.errors import Busy, InstrumentError, NotWitnessed
from instruments.visa.properties import Instrument, Number, settings_of
from instruments.visa.transcript import Transcript

_SOON_D = 30
"""A calibration that is due within so many days is told."""

_INTERFERENCE = ("interferer", "monitor", "path-attenuator")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found.

    ``verified``: what was seen of each instrument, by role: what an acceptance rests on.
    """

    findings: tuple[Finding, ...]
    standing: tuple[Mapping[str, object], ...] = ()
    verified: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return all(finding.status != "missing" for finding in self.findings)


def check_laboratory(
    file: BenchFile,
    device: DeviceProfile | None = None,
    *,
    on: datetime.date | None = None,
    lock_folder: Path | None = None,
    exercise: bool = False,
    person: Person = NOBODY,
) -> tuple[Checked, Laboratory | None]:
    """Look at everything; the laboratory has been left again.

    Args:
        file: the bench file.
        device: whose radio and surroundings say which frequencies matter; None: the middle of
            what is calibrated.
        on: the date that calibrations are compared with; None: today.
        lock_folder: where the leases are; None: the usual place.
        exercise: also set and read back each setting of hardware, press each output of a contact
            box and have the modem report, for an acceptance.
        person: who confirms what no input sees.

    Returns:
        What was found, and the laboratory (left), where it could be taken.
    """
    date = on or today()
    frequencies = frequencies_of(file, device)
    findings = [_method(file), *_arming(file), *_nics(file), *_alarms(file)]
    laboratory = Laboratory(file, Transcript(), on=date, lock_folder=lock_folder)
    try:
        problems = laboratory.enter_what_answers()
    except (Busy, InputError) as error:
        findings.append(_missing("laboratory", str(error), "all of it", "wait, or end the other"))
        return Checked(tuple([*findings, *_calibration(file, frequencies, date)])), None
    seen: dict[str, tuple[str, ...]] = {}
    known: Sequence[Mapping[str, object]] = ()
    try:
        if file.labgrid is not None:
            findings.append(_ok("labgrid place", file.labgrid.place, "acquired for this check"))
        known = standing(laboratory, acceptances(file.path))
        findings += _instruments(file, problems, known)
        findings += _calibration(file, frequencies, date)
        findings += _paths(laboratory, problems, frequencies, seen)
        if exercise:
            findings += _exercised(laboratory, problems, seen)
            findings += _contacts(laboratory, problems, seen, person)
            findings += _modems(laboratory, problems, seen)
    finally:
        left = _leave(laboratory)
    safe, safe_seen = _safe(laboratory, left, problems)
    findings.append(safe)
    for role in safe_seen:
        seen[role] = (*seen.get(role, ()), "identity and safe state")
    return Checked(tuple(findings), tuple(known), seen if not left else {}), laboratory


def frequencies_of(file: BenchFile, device: DeviceProfile | None) -> tuple[float, ...]:
    """Where paths are verified, Hz: at what a device's surroundings hold, or where calibrated."""
    if "interferer" not in file.roles:
        return ()
    if device is not None and device.coexistence is not None:
        return tuple(dict.fromkeys(one.frequency_hz for one in device.coexistence.environment))
    records = [file.records[name] for name in file.calibrations.values() if name in file.records]
    if not records:
        return ()
    low = max(record.points[0].frequency_hz for record in records)
    high = min(record.points[-1].frequency_hz for record in records)
    return ((low + high) / 2,) if low <= high else ()


def _ok(what: str, figure: str, meaning: str) -> Finding:
    return Finding(what, "ok", figure, meaning)


def _missing(what: str, figure: str, meaning: str, remedy: str) -> Finding:
    return Finding(what, "missing", figure, meaning, remedy)


def _method(file: BenchFile) -> Finding:
    where = f" in {file.enclosure}" if file.enclosure else ""
    return _ok("method", f"{file.method}{where}", "how signals reach the device (ANSI C63.27)")


def _arming(file: BenchFile) -> Iterable[Finding]:
    """Simulated devices move nothing; a real one has its links here."""
    what, meaning = "arming", "a real device that moves: phantom, clear area, hardware stop"
    remedy = "write [arming] anew each day, once its steps are done"
    if file.arming is not None:
        problem = file.arming.problem(datetime.datetime.now(datetime.UTC))
        if problem:
            yield _missing(what, problem, meaning, remedy)
        else:
            yield _ok(what, f"by {file.arming.by}, {file.arming.at.isoformat()}", meaning)
    elif file.links:
        yield Finding(what, "degraded", "not recorded", meaning, remedy)


def _nics(file: BenchFile) -> Iterable[Finding]:
    for name, link in file.links.items():
        what, meaning = f"link {name}", "packets of the device: the emulator stands between them"
        try:
            there = present_links()
            ifnames = link.ifnames(there)
            radio = link.radio_ifnames(there)
            find_links((ifnames[0], *radio, ifnames[1]))
        except InputError as error:
            yield _missing(what, error.problem, meaning, error.remedy)
        else:
            over = f", over the radio between {' and '.join(radio)}" if radio else ""
            yield _ok(what, " to ".join(ifnames) + over, meaning)


def _alarms(file: BenchFile) -> Iterable[Finding]:
    source = file.alarms
    if source is None or source.line is None:
        return
    what, meaning = "alarms", "the serial device that the device's alarms come from"
    if Path(source.host).exists():
        yield _ok(what, source.host, meaning)
    else:
        yield _missing(what, f"{source.host} is not there", meaning, "plug it in, or name another")


def _instruments(
    file: BenchFile, problems: Mapping[str, str], known: Iterable[Mapping[str, object]]
) -> Iterable[Finding]:
    uses = {name: use for use, name in file.roles.items()}
    by_role = {str(one["role"]): one for one in known}
    for role in file.all_instruments:
        meaning = f"{uses.get(role, 'bound to no use')}; its driver, and who answers"
        if role in problems:
            remedy = "switch it on, and see to its address and identity in the file"
            yield _missing(role, problems[role], meaning, remedy)
            continue
        one = by_role[role]
        who = ", ".join(str(one[k]) for k in ("manufacturer", "model", "serial", "firmware"))
        if one["simulated"]:
            yield _ok(role, f"{who} (simulated)", meaning)
        elif one["certifiable"]:
            how = "accepted here" if one["accepted"] else "driver verified on this hardware"
            yield _ok(role, f"{who} ({how})", meaning)
        else:
            remedy = "bench check FILE --accept; until then --certify is INCONCLUSIVE"
            yield Finding(role, "degraded", f"{who}, driver never verified on it", meaning, remedy)


def _calibration(
    file: BenchFile, frequencies: Iterable[float], on: datetime.date
) -> Iterable[Finding]:
    named = dict.fromkeys((*file.calibrations.values(), *file.corrections.values()))
    for name in named:
        what, meaning = f"calibration {name}", "without it no level: INCONCLUSIVE"
        record = file.records.get(name)
        if record is None:
            remedy = "add it to a file of the key calibration"
            yield _missing(what, "there is no such record", meaning, remedy)
            continue
        problem = validity(record, on) or _uncovered(record, frequencies)
        if problem:
            yield _missing(what, problem, meaning, "have it calibrated, and enter the record")
        elif (record.due - on).days < _SOON_D:
            yield Finding(
                what, "degraded", f"due on {record.due}", meaning, "have it calibrated soon"
            )
        else:
            figure = f"{record.instrument}, certificate {record.certificate}, due {record.due}"
            yield _ok(what, figure, meaning)


def _uncovered(record: Record, frequencies: Iterable[float]) -> str:
    low, high = record.points[0].frequency_hz, record.points[-1].frequency_hz
    outside = [f"{f / 1e6:g}" for f in frequencies if not low <= f <= high]
    if not outside:
        return ""
    return f"covers {low / 1e6:g} to {high / 1e6:g} MHz, and {', '.join(outside)} MHz is needed"


def _paths(
    laboratory: Laboratory,
    problems: Mapping[str, str],
    frequencies: Iterable[float],
    seen: dict[str, tuple[str, ...]],
) -> Iterable[Finding]:
    file = laboratory.file
    what, meaning = "paths", "what is set arrives: seen by the monitor at a low level"
    unbound = [use for use in _INTERFERENCE if use not in file.roles]
    if len(unbound) == len(_INTERFERENCE):
        return
    if unbound:
        yield _missing(what, f"nothing is bound to {', '.join(unbound)}", meaning, "see [roles]")
        return
    dead = [file.roles[use] for use in _INTERFERENCE if file.roles[use] in problems]
    if dead:
        yield _missing(what, f"not tried without {', '.join(dead)}", meaning, "see above")
        return
    for frequency_hz in frequencies:
        yield _path(laboratory, frequency_hz, what, meaning, seen)


def _path(
    laboratory: Laboratory,
    frequency_hz: float,
    what: str,
    meaning: str,
    seen: dict[str, tuple[str, ...]],
) -> Finding:
    what = f"{what} at {frequency_hz / 1e6:g} MHz"
    try:
        tried = laboratory.verify(frequency_hz)
    except NotCalibrated as error:
        return _missing(what, error.problem, meaning, "have it calibrated, and enter the record")
    except Unverified as error:
        remedy = "see to cables, attenuators and the calibration record of the way"
        return _missing(what, str(error), meaning, remedy)
    except (InstrumentError, InputError) as error:
        return _missing(what, str(error), meaning, "see to the instrument and the file")
    figure = ", ".join(_shown(settings) for settings in tried)
    for use in _INTERFERENCE:
        role = laboratory.file.roles[use]
        seen[role] = (*seen.get(role, ()), f"path at {frequency_hz / 1e6:g} MHz: {figure}")
    return _ok(what, figure, meaning)


def _shown(settings: Settings) -> str:
    return (
        f"{settings.monitor_dbm:.1f} dBm within {settings.monitor_uncertainty_db:.2g} dB "
        f"at {settings.attenuation_db:g} dB"
    )


def _exercised(
    laboratory: Laboratory, problems: Mapping[str, str], seen: dict[str, tuple[str, ...]]
) -> Iterable[Finding]:
    """Each setting of hardware, RF being off: set and read back what it is, or the least."""
    for role, one in laboratory.instruments.items():
        if role in laboratory.file.simulated or role in problems:
            continue
        what, meaning = f"{role} settings", "each is set and read back (only with --accept)"
        try:
            done = ", ".join(sorted(_set_again(one)))
        except (InstrumentError, InputError) as error:
            remedy = "the driver does not fit this instrument: do not accept it"
            yield _missing(what, str(error), meaning, remedy)
            continue
        seen[role] = (*seen.get(role, ()), f"settings: {done}")
        yield _ok(what, done, meaning)


def _set_again(one: Instrument) -> Iterable[str]:
    for name, setting in settings_of(type(one)).items():
        value = getattr(one, name)
        if isinstance(setting, Number):
            low, high = setting.range(one)
            value = value if low <= value <= high else low
        setattr(one, name, value)
        yield name


def _contacts(
    laboratory: Laboratory,
    problems: Mapping[str, str],
    seen: dict[str, tuple[str, ...]],
    person: Person,
) -> Iterable[Finding]:
    """Each output of a contact box that is hardware, pressed; and each of its inputs, seen."""
    file = laboratory.file
    for role, box in laboratory.boxes.items():
        if role in file.simulated or role in problems:
            continue
        what, meaning = f"{role} contacts", "each is seen both ways (only with --accept)"
        unready = _unready(file)
        if unready:
            remedy = "its outputs act on the device, the stop among them: record [arming] first"
            yield _missing(what, unready, meaning, remedy)
            continue
        wired = file.contacts if file.contacts and file.contacts.box == role else None
        try:
            done = try_box(box, watches_of(box.outputs, wired), person)
        except InstrumentError as error:
            yield _missing(what, str(error), meaning, "see to its wires, and to who confirms")
            continue
        seen[role] = (*seen.get(role, ()), *done)
        yield _ok(what, "; ".join(done), meaning)


def _unready(file: BenchFile) -> str:
    """Why a real device's contacts must not be moved now; empty where they may."""
    if not file.links:
        return ""
    if file.arming is None:
        return "nobody has armed the device"
    return file.arming.problem(datetime.datetime.now(datetime.UTC))


def _modems(
    laboratory: Laboratory, problems: Mapping[str, str], seen: dict[str, tuple[str, ...]]
) -> Iterable[Finding]:
    """Each modem that is hardware: it answers, shows its cell, and reports unasked."""
    file = laboratory.file
    for role, modem in laboratory.modems.items():
        if role in file.simulated or role in problems:
            continue
        what, meaning = f"{role} answers", "cell seen twice, reports apart (only with --accept)"
        used = {file.roles[use] for use in ROLES if use in file.roles}
        alone = len(used) < len(ROLES) or role not in used
        try:
            if alone or used & file.simulated or used & problems.keys():
                done = try_modem(modem)
            else:
                done = _camping(laboratory, modem)
        except (InstrumentError, InputError) as error:
            remedy = "give it a cell; where it has one, the driver does not fit: do not accept it"
            yield _missing(what, str(error), meaning, remedy)
            continue
        seen[role] = (*seen.get(role, ()), "identity", *done)
        yield _ok(what, "; ".join(done), meaning)


def _camping(laboratory: Laboratory, modem: Modem) -> tuple[str, ...]:
    """The modem tried on the laboratory's own cells, which are off again."""
    cells = Cells(laboratory, for_device=False)
    try:
        problem = cells.camp()
        if problem:
            raise NotWitnessed(modem.role, problem)
        return try_modem(modem)
    finally:
        cells.quiet()


def _leave(laboratory: Laboratory) -> str:
    try:
        laboratory.__exit__(None, None, None)
    except InstrumentError as error:
        return str(error)
    return ""


def _safe(
    laboratory: Laboratory, left: str, silent: Iterable[str]
) -> tuple[Finding, tuple[str, ...]]:
    """Whether it was reached, and by which roles; nothing is known of those that were silent."""
    what, meaning = "safe state", "RF off, attenuators at their most, supplies off, each verified"
    if laboratory.feed is not None and laboratory.feed.wired.leave_on:
        meaning += f"; {laboratory.feed.wired.supply} on, as [power] leave_on declares"
    if left:
        return _missing(what, left, meaning, "SWITCH IT OFF BY HAND"), ()
    without = laboratory.without_safe_state
    roles = tuple(r for r in (*laboratory.instruments, *laboratory.boxes) if r not in without)
    unknown = ", ".join(sorted(silent))
    if unknown:
        figure = f"reached by what answered; nothing is known of {unknown}"
        return _missing(what, figure, meaning, "have them answer, or see to them by hand"), roles
    if without:
        figure = f"reached on entering and on leaving; none is described for {', '.join(without)}"
        remedy = "add [safe] to the description of what emits or feeds"
        return Finding(what, "degraded", figure, meaning, remedy), roles
    return _ok(what, "reached on entering and on leaving", meaning), roles
