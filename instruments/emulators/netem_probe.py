"""What this kernel's netem can do: found out by setting it and reading it back."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.errors import InputError
from bench.network.delays import unit_table
from instruments.emulators.base import EmulatorError
from instruments.emulators.netem_messages import change_message
from instruments.emulators.netem_state import CERTAIN, U32, NetemState, SlotState, pack
from instruments.emulators.qdiscs import TrafficControl
from instruments.emulators.workers import Workers, send_event

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_HALF = CERTAIN // 2

_TRIALS: Mapping[str, NetemState] = {
    "loss": NetemState(loss=_HALF),
    "duplication": NetemState(duplicate=_HALF),
    "reordering": NetemState(latency_ns=6400, gap=3, reorder=_HALF),
    "corruption": NetemState(corrupt=_HALF),
    "rate": NetemState(rate=12_500, overhead=24),
    "64-bit rate": NetemState(rate=U32 + 2),
    "times in ns": NetemState(latency_ns=6401, jitter_ns=1),
    "distribution": NetemState(latency_ns=6400, jitter_ns=64, table=unit_table("normal")),
    "gilbert-elliott": NetemState(gemodel=(1, 2, 3, 4)),
    "four-state": NetemState(four_state=(1, 2, 3, 4, 5)),
    "slot": NetemState(slot=SlotState(1000, 2001, 3, 4)),
    "seed": NetemState(seed=(1 << 63) + 1),
}
_OVERLONG = (0,) * 16_385  # NETEM_DIST_MAX + 1: a kernel that reads tables refuses it
_FIELDS = {
    "loss": "loss",
    "duplication": "duplication",
    "reordering": "reordering",
    "corruption": "ber",
    "rate": "rate_bps",
    "64-bit rate": "order",
    "times in ns": "delay",
    "distribution": "delay.law",
    "gilbert-elliott": "loss",
    "four-state": "loss",
    "slot": "slot",
}


@dataclass(frozen=True, slots=True)
class Capability:
    """What this kernel offers for the netem emulator, and the reason where it does not.

    ``redirect``: how two interfaces can be joined (matchall, u32, bridge). ``seed``: whether
    netem takes a seed (Linux 6.6 and later). ``keeps``: what netem kept when it was tried, of
    loss, duplication, reordering, corruption, rate, 64-bit rate, times in ns, distribution,
    gilbert-elliott, four-state, slot, seed.
    """

    netem: bool
    seed: bool
    redirect: str | None
    kernel: str
    reason: str = ""
    keeps: tuple[str, ...] = ()

    def lacking(self, states: Iterable[NetemState]) -> InputError | None:
        """What the states need and this kernel's netem does not keep, or None."""
        for state in states:
            for need in needs(state):
                if need not in self.keeps:
                    return InputError(
                        f"the netem of this kernel does not do {need}",
                        remedy="use the userspace emulator, or a newer kernel",
                        field=_FIELDS[need],
                        value=self.kernel,
                    )
        return None


def needs(state: NetemState) -> tuple[str, ...]:
    """What a state asks of netem; its seed is no need."""
    wanted = {
        "loss": state.loss,
        "duplication": state.duplicate,
        "reordering": state.reorder,
        "corruption": state.corrupt,
        "rate": state.rate,
        "64-bit rate": state.rate > U32,
        "times in ns": state.latency_ns % 64 or state.jitter_ns % 64,
        "distribution": state.table,
        "gilbert-elliott": state.gemodel,
        "four-state": state.four_state,
        "slot": state.slot != SlotState(),
    }
    return tuple(name for name, value in wanted.items() if value)


def probe() -> Capability:
    """Try netem in a network namespace that exists only for the trial.

    Nothing stays behind (the kernel may have loaded its module).
    """
    workers = Workers()
    workers.add("netem probe", _probe)
    try:
        workers.wait_ready()
        (found,) = workers.stop()
    except EmulatorError as error:
        return Capability(False, False, None, platform.release(), str(error))
    return Capability(**{**found, "keeps": tuple(found["keeps"])})


def _probe(_: int, report_fd: int) -> None:
    send_event(report_fd, "ready")
    values: dict[str, Any] = asdict(Capability(False, False, None, platform.release()))
    try:
        _enter_namespace()
        control = TrafficControl()
        with contextlib.closing(control):
            index = control.index("lo")
            control.add_netem(index, NetemState())
            values["netem"] = True
            values["keeps"] = [name for name in _TRIALS if _keeps(control, index, name)]
            values["seed"] = "seed" in values["keeps"]
            values["redirect"] = control.join(index, index)
    except (EmulatorError, OSError) as error:
        values["reason"] = str(error)
    send_event(report_fd, "report", report=values)


def _keeps(control: TrafficControl, index: int, name: str) -> bool:
    """Whether the qdisc has the trial's state after it was sent."""
    trial = _TRIALS[name]
    try:
        control.qdiscs.change(change_message(index, pack(trial)))
        read, _ = control.qdiscs.state(index)
    except EmulatorError:
        return False
    if trial.seed is not None and read.seed != trial.seed:
        return False
    if trial.table and not _refuses(control, index, replace(trial, table=_OVERLONG)):
        return False
    return read.visible() == trial.visible()


def _refuses(control: TrafficControl, index: int, state: NetemState) -> bool:
    """Whether the kernel says no: tables are not read back, but a wrong one is refused."""
    try:
        control.qdiscs.change(change_message(index, pack(state)))
    except EmulatorError:
        return True
    return False


def _enter_namespace() -> None:
    """Leave for a new network namespace, through a user namespace where needed.

    Raises:
        EmulatorError: not possible here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) == 0:
        return
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        reason = os.strerror(ctypes.get_errno())
        raise EmulatorError(f"no network namespaces here ({reason})")
    maps = (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1"))
    for name, text in maps:
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
