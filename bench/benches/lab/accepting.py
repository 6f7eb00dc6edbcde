"""Site acceptance of what stands at a serial port: a contact box's contacts, a modem's answers.

Each output of a box is set to both of its levels: the input that is wired behind it says whether it
followed, else a person does. Each other input must be seen at both levels, with a person who moves
what it sees. A modem shows its serving cell twice; then its radio goes off and on, so that it
reports unasked while it is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bench.benches.lab.cells import CAMP_S, EVERY_S, shown
from bench.benches.lab.contacts import MOST_DOUBT_S, DeviceContacts
from bench.benches.lab.handling import COVERED_S, TEST_S
from bench.units import NS_PER_S, ns
from instruments.contacts.box import ContactBox, Output
from instruments.modem.modem import Modem
from instruments.modem.parsing import Registration, Sighting
from instruments.visa.errors import NotWitnessed

FOLLOW_S = 0.5
"""A contact that is wired to an input closes and opens within this."""

MOVE_S = 30.0
"""So long a person may take to move what an input sees."""

_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Person:
    """Who stands beside the laboratory.

    ``tell`` shows what is to be done; ``confirm`` asks whether something is so, and answers with
    the name of who says yes; empty: it is not, or nobody is there.
    """

    tell: Callable[[str], None]
    confirm: Callable[[str], str]


NOBODY = Person(lambda request: None, lambda question: "")


@dataclass(frozen=True, slots=True)
class Watch:
    """An input that follows an output: active while that is at ``level``, within a time."""

    input: str
    level: int
    within_s: float


def watches_of(
    outputs: Mapping[str, Output], wired: DeviceContacts | None
) -> dict[str, tuple[Watch, ...]]:
    """Which inputs see each output: those behind it, and the lights of the device's alarm test.

    Args:
        outputs: of one box.
        wired: what a device has at that box; None: nothing.
    """
    found: dict[str, tuple[Watch, ...]] = {
        name: (Watch(one.seen_by, 1, FOLLOW_S),) if one.seen_by else ()
        for name, one in outputs.items()
    }
    if wired is not None and wired.alarm_test:
        tested = 1 - outputs[wired.alarm_test].safe
        lights = tuple(Watch(one.input, tested, TEST_S) for one in wired.lights.values())
        found[wired.alarm_test] += lights
    return found


# ---- contacts -----------------------------------------------------------------------------------


def try_box(
    box: ContactBox, watches: Mapping[str, Iterable[Watch]], person: Person
) -> tuple[str, ...]:
    """Set each output to both levels and back, and see each input at both; all are safe again.

    Args:
        box: open, in its safe state.
        watches: by output.

    Returns:
        What was seen, in words.

    Raises:
        NotWitnessed: an output was not seen to follow, an input not to change.
        InstrumentError: the box failed.
    """
    time.sleep(COVERED_S)  # the record begins before what is asked of it
    seen = [_pressed(box, name, tuple(watches[name]), person) for name in box.outputs]
    watching = {watch.input for some in watches.values() for watch in some}
    seen += [_moved(box, name, person) for name in box.inputs if name not in watching]
    return tuple(seen)


def _pressed(box: ContactBox, name: str, watches: tuple[Watch, ...], person: Person) -> str:
    safe = box.outputs[name].safe
    try:
        witnesses = [_at(box, name, level, watches, person) for level in (1 - safe, safe)]
    finally:
        box.set(name, safe)
    return f"output {name} both ways: {', '.join(dict.fromkeys(witnesses))}"


def _at(box: ContactBox, name: str, level: int, watches: tuple[Watch, ...], person: Person) -> str:
    """Set an output; who saw it follow."""
    before_ns = box.set(name, level).before_ns
    if not watches:
        state = "its safe state" if level == box.outputs[name].safe else "not its safe state"
        who = person.confirm(
            f"{box.role}: output {name} is {level}, {state}: did what it moves follow?"
        )
        if not who:
            raise NotWitnessed(
                f"{box.role} {name}",
                f"nobody confirmed that it is {level}: wire an input behind it (seen_by), "
                "or answer at a terminal",
            )
        return f"confirmed by {who}"
    for watch in watches:
        _follows(box, watch, level, before_ns)
    return f"seen by {', '.join(watch.input for watch in watches)}"


def _follows(box: ContactBox, watch: Watch, level: int, since_ns: int) -> None:
    """Raises: NotWitnessed: the input does not change with its output, or the time is not known."""
    one = box.inputs[watch.input]
    wanted = one.active if level == watch.level else 1 - one.active
    who = f"{box.role} {watch.input}"
    while box.levels()[watch.input] != wanted:
        if time.monotonic_ns() - since_ns > ns(watch.within_s):
            raise NotWitnessed(who, f"did not go to {wanted} within {watch.within_s:g} s")
        time.sleep(_LOOK_S)
    from_ns = since_ns - ns(MOST_DOUBT_S)
    until_ns = time.monotonic_ns() + ns(one.settle_s)
    time.sleep(one.settle_s + COVERED_S)
    when = box.record().first(watch.input, from_ns, (until_ns - from_ns) / NS_PER_S, wanted)
    if when is None or when.uncertainty_ns > ns(MOST_DOUBT_S):
        raise NotWitnessed(who, f"did not go to {wanted} at a time that is known")


def _moved(box: ContactBox, name: str, person: Person) -> str:
    """Wait until an input was seen at both levels since the box was opened."""
    person.tell(f"{box.role}: within {MOVE_S:g} s, make input {name} change both ways")
    deadline = time.monotonic() + MOVE_S
    while len({change.level for change in box.record().changes(name)}) < 2:
        if time.monotonic() > deadline:
            raise NotWitnessed(
                f"{box.role} {name}", f"was not seen to change both ways within {MOVE_S:g} s"
            )
        time.sleep(_LOOK_S)
    return f"input {name} seen at both levels"


# ---- the modem ----------------------------------------------------------------------------------


def try_modem(modem: Modem) -> tuple[str, ...]:
    """Ask it, see its cell twice, and have it report unasked while it is asked; its radio is on.

    Returns:
        What was seen, in words.

    Raises:
        NotWitnessed: no cell, another one the second time, or no report, or one that differs.
        InstrumentError: it failed, or answered what cannot be read.
    """
    modem.command(modem.attention.text)
    modem.signal()
    first = _served(modem)
    time.sleep(EVERY_S)
    second = _served(modem)
    if [one.identity for one in first.cells] != [one.identity for one in second.cells]:
        raise NotWitnessed(modem.role, f"showed {_cells(first)}, then {_cells(second)}")
    reports = _reported(modem)
    if modem.dropped:
        raise NotWitnessed(modem.role, "reported more than is kept")
    return "AT answers", f"serving cell twice: {_cells(second)}", f"unasked, apart: {reports}"


def _served(modem: Modem) -> Sighting:
    """Its cells, once it has any."""
    deadline = time.monotonic() + CAMP_S
    while not (seen := modem.look()).cells:
        if time.monotonic() > deadline:
            raise NotWitnessed(modem.role, f"has no serving cell for {CAMP_S:g} s")
        time.sleep(EVERY_S)
    return seen


def _cells(seen: Sighting) -> str:
    return " and ".join(shown(cell) for cell in seen.cells)


def _reported(modem: Modem) -> str:
    """Radio off, then on: what it reported of both, while it was asked for the same."""
    since = len(modem.reports())
    try:
        modem.set_radio(False)
        _await(modem, since, lambda one: not one.registered, "radio off")
    finally:
        modem.set_radio(True)
    last = _await(modem, since, lambda one: one.registered, "radio on")
    serving = {int(cell.cell_id, 16) for cell in _served(modem).cells if cell.cell_id}
    if last.cell_id and serving and int(last.cell_id, 16) not in serving:
        raise NotWitnessed(modem.role, f"reported cell {last.cell_id}, and shows another")
    return f"{len(modem.reports()) - since} reports of registration"


def _await(
    modem: Modem, since: int, wanted: Callable[[Registration], bool], when: str
) -> Registration:
    """The newest report, once it is as wanted; the same is asked for meanwhile, and must agree."""
    deadline = time.monotonic() + CAMP_S
    while True:
        answer = modem.registered()
        reports = [one for _, one in modem.reports()[since:]]
        if reports and wanted(reports[-1]) and wanted(answer):
            return reports[-1]
        if time.monotonic() > deadline:
            raise NotWitnessed(
                modem.role, f"{when}: no report of its registration within {CAMP_S:g} s"
            )
        time.sleep(_LOOK_S)
