"""The doctor side of a remote robot: console, master arm and its operator."""

from __future__ import annotations

import math
from typing import Any

from bench.devices.arming import Arming, Trigger
from bench.devices.planned import PLAN, PlanSender
from bench.devices.ports import Message, Port, plain
from bench.devices.profile import DeviceProfile
from bench.devices.robot.streams import FORCE
from bench.devices.side import CONTROL, DeviceSide
from bench.devices.traffic import periodic_sources
from bench.devices.traits import Traits
from bench.devices.viewer import Viewer
from bench.units import ns

_SWEEP_UM = [round(1000 * math.sin(2 * math.pi * k / 1000)) for k in range(1000)]
"""The operator's hand: a 1 mm sine at 1 Hz, one value per ms."""

_REQUEST = {
    Arming.DISABLED: Trigger.ENABLE,
    Arming.PAUSED: Trigger.REARM,
    Arming.FAULT: Trigger.CLEAR,
}
"""What the operator asks for in each state of the robot."""


class DoctorSide(DeviceSide):
    """Sends a command every period; its operator re-arms once the robot says it is ready."""

    here = "doctor"

    def __init__(self, profile: DeviceProfile, traits: Traits, port: Port) -> None:
        super().__init__(profile, traits, port)
        port = self.port
        stream = profile.stream(profile.watched)
        beats_s = profile.stream(CONTROL).period_s
        self.viewer = Viewer(profile, traits, port, self.links, beats_s)
        self._command_code = stream.code
        self.handlers |= dict.fromkeys(self.viewer.codes, self.viewer.packet)
        self.handlers |= {
            profile.stream(FORCE).code: self._on_force,
            self.control: self._on_heartbeat,
        }
        self._plan: PlanSender | None = None
        if "planned-motion" in profile.functions:
            self._plan = PlanSender(profile.stream(PLAN), port, self.links)
        apart = (stream.name, CONTROL, PLAN)
        others = [s for s in profile.active_streams if s.name not in apart]
        self._sources = periodic_sources(others, "doctor", port, self.links, traits.pace)
        self._period_ns_command = ns(stream.period_s)
        self._step_ms = stream.period_s * 1e3
        self._rearm_after_ns = ns(self.limits["operator_rearm_s"])
        self._command_due = 0
        self._seq = 0
        self._robot = Arming.DISABLED
        self._robot_um = 0
        self._ready_since: int | None = None
        self._request: tuple[int, str] = (0, "")
        self._engaged_from = -1
        self._base_um = 0
        self._last_force_ns = -1
        self._counts_force = profile.stream(FORCE).code in self.viewer.codes

    def start(self, now_ns: int) -> None:
        """Power on."""
        self.start_heartbeats(now_ns)
        self.viewer.start(now_ns)
        for source in self._sources:
            source.start(now_ns)
        if self._plan is not None:
            self._plan.start(now_ns)
        self._command_due = now_ns + self._period_ns_command
        self.port.at(self._command_due, self._command)

    def receive_burst(
        self, now_ns: int, link: int, message: Message, received: int, count: int
    ) -> None:
        """A frame arrived, whole or not."""
        super().receive_burst(now_ns, link, message, received, count)
        self.viewer.burst(now_ns, link, message, received, count)

    def _command(self, now_ns: int) -> None:
        if self._engaged_from >= 0:
            value = (
                self._base_um
                + _SWEEP_UM[round((self._seq - self._engaged_from) * self._step_ms) % 1000]
            )
        elif self.traits.keeps_position:
            value = self._robot_um
        else:
            value = self._robot_um + 5000
        self.port.send(
            now_ns, self.links.active, plain(self._command_code, self._seq, now_ns, value)
        )
        self._seq += 1
        due = self._command_due + self._period_ns_command
        if due < now_ns - 20 * self._period_ns_command:
            due = now_ns + self._period_ns_command
        self._command_due = due
        self.port.at(due, self._command)

    def _on_force(self, now_ns: int, link: int, message: Message) -> None:
        self._last_force_ns = now_ns
        if self._counts_force:
            self.viewer.packet(now_ns, link, message)

    def _on_heartbeat(self, now_ns: int, link: int, message: Message) -> None:
        body = message.body
        if body is None:
            return
        self.links.peer_hears(body["heard"])
        self.viewer.heartbeat(now_ns, link, message)
        if self._plan is not None:
            self._plan.missing = tuple(body["plan"])
        state = Arming(body["state"])
        if state is Arming.ENABLED and self._robot is not Arming.ENABLED:
            self._engaged_from, self._base_um = self._seq, body["um"]
        elif state is not Arming.ENABLED:
            self._engaged_from = -1
        self._robot, self._robot_um = state, body["um"]
        if not body["ready"] or state is Arming.ENABLED:
            self._ready_since = None
        elif self._ready_since is None:
            self._ready_since = now_ns

    def on_beat(self, now_ns: int) -> None:
        """Watch the feedback, and let the operator re-arm when the robot has been ready."""
        silent = self._last_force_ns >= 0 and now_ns - self._last_force_ns > ns(
            self.limits["command_silence_s"]
        )
        trusted = self.traits.links.trusts_half_open and self.links.heard[self.links.active]
        self.alarms.update(now_ns, "network-interrupted", silent and not trusted)
        since = self._ready_since
        if not self.connected or since is None or now_ns - since < self._rearm_after_ns:
            return
        self._ask(now_ns)

    def operate(self, now_ns: int, action: str) -> None:
        """``start-operation``: the operator asks for motion, ready or not; else the log."""
        if action == "start-operation":
            self._ask(now_ns)
        else:
            super().operate(now_ns, action)

    def _ask(self, now_ns: int) -> None:
        wanted = _REQUEST.get(self._robot)
        if wanted is None:
            return
        self._request = (self._request[0] + 1, str(wanted))
        self._ready_since = now_ns
        self.port.contact(now_ns, "rearm", {"request": str(wanted)})

    def heartbeat_body(self) -> dict[str, Any]:
        """The operator's latest request, repeated until it is superseded."""
        return {"request": list(self._request), **self.viewer.report()}
