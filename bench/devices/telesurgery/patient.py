"""The patient side of the telesurgery robot: it moves, and it decides when it must not."""

from __future__ import annotations

from typing import Any

from bench.devices.arming import BRAKED, MOVING, Arming, Trigger, after
from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile
from bench.devices.telesurgery.common import RobotSide
from bench.devices.traffic import periodic_sources
from bench.devices.traits import Traits
from bench.devices.watch import NetworkWatch, Persistence
from bench.units import ns

_GUARD_NS = 10_000_000
"""How often the command stream's silence is looked at."""


class PatientSide(RobotSide):
    """Executes fresh commands while ENABLED; holds, brakes and stops on its own authority."""

    def __init__(self, profile: DeviceProfile, traits: Traits, port: Port) -> None:
        super().__init__(profile, traits, port)
        limits = self.limits
        self._sources = [
            s for s in periodic_sources(profile.active_streams, "patient", port, self.links)
        ]
        self._watch = NetworkWatch(
            delay_window_s=limits["command_delay_window_s"],
            loss_window_s=limits["command_loss_window_s"],
            least_packets=int(limits["command_delay_packets"]),
        )
        self._delay_over = Persistence(limits["clear_after_s"])
        self._loss_over = Persistence(limits["clear_after_s"])
        self._silent = Persistence(limits["clear_after_s"])
        self._bucket_ns = ns(limits["command_delay_window_s"])
        self._silence_alarm_ns = ns(limits["command_silence_alarm_s"])
        self._silence_ns = ns(limits["command_silence_s"])
        self._safe_ns = ns(limits["safe_state_silence_s"])
        self._age_ns = traits.command_age_s * 1e9
        self.state = Arming.DISABLED
        self.stop_latched = False
        self._moving = False
        self._braked = True
        self._position_um = 0
        self._highest_seq = -1
        self._rebase = False
        self._dropped: dict[str, int] = {}
        self._request_done = 0
        self._look_due = self._guard_due = 0

    def start(self, now_ns: int) -> None:
        """Power on: brakes engaged, not moving, heartbeats and streams begin."""
        self.port.contact(now_ns, "brake", 1)
        self.port.contact(now_ns, "motion", 0)
        self.start_heartbeats(now_ns)
        for source in self._sources:
            source.start(now_ns)
        self._look_due = now_ns + self._bucket_ns
        self._guard_due = now_ns + _GUARD_NS
        self.port.at(self._look_due, self._look)
        self.port.at(self._guard_due, self._guard)

    def receive(self, now_ns: int, link: int, message: Message) -> None:
        """A packet arrived."""
        self.links.last_heard_ns[link] = now_ns
        if message.stream == self.command:
            self._on_command(now_ns, message)
        elif message.stream == self.control:
            self._on_heartbeat(now_ns, message)

    def receive_burst(
        self, now_ns: int, link: int, message: Message, received: int, count: int
    ) -> None:
        """The doctor side sends no bursts that this side would use."""
        self.links.last_heard_ns[link] = now_ns

    def operate(self, now_ns: int, action: str) -> None:
        """``local-stop`` and ``local-release``: the stop button beside the patient."""
        if action == "local-stop":
            self.port.contact(now_ns, "stop-button", 1)
            if self.traits.obeys_local_stop:
                self.port.at(now_ns + ns(self.traits.stop_after_s), self._stop)
        elif action == "local-release":
            self.port.contact(now_ns, "stop-button", 0)
            self.stop_latched = False
            self.alarms.update(now_ns, "local-stop-active", False)

    def _stop(self, now_ns: int) -> None:
        self.stop_latched = True
        self._trigger(now_ns, Trigger.LOCAL_STOP)
        self.alarms.update(now_ns, "local-stop-active", True)

    def _on_command(self, now_ns: int, message: Message) -> None:
        self._watch.packet(now_ns, message.seq, message.sent_ns)
        if message.seq <= self._highest_seq:
            if self.traits.drops_old_sequence:
                self._drop("old sequence")
                return
        else:
            self._highest_seq = message.seq
        if self.state is not Arming.ENABLED:
            return
        if now_ns - message.sent_ns > self._age_ns:
            self._drop("older than declared")
            return
        if self._rebase:
            jump = abs(message.value - self._position_um)
            if jump > self.limits["position_jump_m"] * 1e6 and self.traits.keeps_position:
                self._drop("position jump")
                return
            self._rebase = False
        if not self._moving:
            self._move(now_ns, True, message.value)
        self._position_um = message.value
        self.port.actuate(now_ns, message)

    def _drop(self, reason: str) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def _move(self, now_ns: int, moving: bool, position_um: int) -> None:
        self._moving = moving
        edge = "start" if moving else "stop"
        self.port.contact(now_ns, "position", {"um": position_um, "edge": edge})
        self.port.contact(now_ns, "motion", int(moving))

    def _trigger(self, now_ns: int, trigger: Trigger) -> bool:
        state = after(self.state, trigger)
        if state is None:
            return False
        if state is self.state:
            return True
        self.port.log(
            now_ns,
            "state",
            {"from": str(self.state), "to": str(state), "trigger": str(trigger)},
        )
        self.state = state
        if self._moving and state not in MOVING:
            self._move(now_ns, False, self._position_um)
        if (state in BRAKED) != self._braked:
            self._braked = state in BRAKED
            self.port.contact(now_ns, "brake", int(self._braked))
        if state in MOVING:
            self._rebase = True
        return True

    def _look(self, now_ns: int) -> None:
        """Once per delay window: read the network and act on the declared limits."""
        reading = self._watch.bucket()
        limits, traits = self.limits, self.traits
        limit = limits["command_delay_s"]
        delay = reading.delay_s
        late = self._delay_over.update(
            now_ns,
            delay is not None and delay > limit,
            delay is not None and delay < limits["clear_ratio"] * limit,
        )
        loss_limit = limits["command_loss"]
        lossy = self._loss_over.update(
            now_ns,
            reading.loss > loss_limit and reading.lost >= limits["command_loss_packets"],
            reading.loss <= limits["clear_ratio"] * loss_limit,
        )
        silent = self._silent.present
        self.alarms.update(now_ns, "network-delay", late, delay)
        self.alarms.update(now_ns, "network-loss", lossy, reading.loss)
        if (late and traits.holds_on_delay) or (lossy and traits.holds_on_loss):
            self._trigger(now_ns, Trigger.HOLD)
        if not traits.needs_rearm and self.ready and not (late or lossy or silent):
            self._trigger(now_ns, Trigger.CLEAR)
            self._trigger(now_ns, Trigger.REARM)
        for reason, count in self._dropped.items():
            self.port.log(now_ns, "commands-dropped", {"reason": reason, "count": count})
        self._dropped.clear()
        self._look_due = max(self._look_due, now_ns - self._bucket_ns) + self._bucket_ns
        self.port.at(self._look_due, self._look)

    def _guard(self, now_ns: int) -> None:
        """Silence of the command stream: alarm, hold, and after longer silence the safe state."""
        self._guard_due = max(self._guard_due, now_ns - _GUARD_NS) + _GUARD_NS
        self.port.at(self._guard_due, self._guard)
        last = self._watch.last_ns
        if last < 0:
            return
        silence_ns = now_ns - last
        silent = self._silent.update(
            now_ns, silence_ns > self._silence_alarm_ns, silence_ns < self._silence_alarm_ns // 2
        )
        self.alarms.update(now_ns, "network-interrupted", silent, silence_ns / 1e9)
        if silence_ns > self._silence_ns and self.traits.holds_on_silence:
            self._trigger(now_ns, Trigger.HOLD)
        if silence_ns > self._safe_ns and self.traits.reaches_safe_state:
            self._trigger(now_ns, Trigger.SAFE)

    @property
    def ready(self) -> bool:
        """The network is good again, nothing is latched: an operator may re-arm."""
        conditions = (self._delay_over, self._loss_over, self._silent)
        return (
            self.connected
            and not self.stop_latched
            and self._watch.last_ns >= 0
            and not any(condition.present for condition in conditions)
        )

    def heartbeat_body(self) -> dict[str, Any]:
        """State, position and readiness for the console."""
        return {
            "state": str(self.state),
            "um": self._position_um,
            "ready": int(self.ready),
            "alarms": list(self.alarms.active),
        }

    def on_beat(self, now_ns: int) -> None:
        """Nothing beyond what both sides do."""

    def _on_heartbeat(self, now_ns: int, message: Message) -> None:
        body = message.body
        if body is None:
            return
        self.links.peer_hears(body["heard"])
        number, wanted = body["request"]
        if number <= self._request_done:
            return
        self._request_done = number
        accepted = self.ready and self._trigger(now_ns, Trigger(wanted))
        if not accepted:
            self.port.log(now_ns, "rearm-rejected", {"wanted": wanted, "state": str(self.state)})
