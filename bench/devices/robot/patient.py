"""The patient side of a remote robot: it moves, and it decides when it must not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.devices.arming import BRAKED, MOVING, Arming, Trigger, after
from bench.devices.local_control import LocalControl
from bench.devices.planned import PLAN, Plan
from bench.devices.ports import Message, Port
from bench.devices.profile import DeviceProfile
from bench.devices.side import DeviceSide
from bench.devices.studio import Studio
from bench.devices.supervision import NetworkSupervisor
from bench.devices.traits import Traits
from bench.devices.watch import WatchReading
from bench.units import ns

_TOLD = 8
"""Missing pieces of a plan that one heartbeat names."""


class PatientSide(DeviceSide):
    """Executes fresh commands while ENABLED; holds, brakes and stops on its own authority."""

    here = "patient"

    def __init__(self, profile: DeviceProfile, traits: Traits, port: Port) -> None:
        super().__init__(profile, traits, port)
        port = self.port
        limits = self.limits
        self.handlers |= {
            profile.stream(profile.watched).code: self._on_command,
            self.control: self._on_heartbeat,
        }
        self.studio = Studio(profile, traits.studio, port, self.links, traits.pace)
        self.network = NetworkSupervisor(
            limits,
            self.alarms,
            port,
            on_look=self._on_look,
            on_guard=self._on_guard,
            nerves=traits.nerves,
        )
        self.plan: Plan | None = None
        if "planned-motion" in profile.functions:
            self.plan = Plan()
            self.handlers[profile.stream(PLAN).code] = self.plan.receive
        self.local = LocalControl(port, self._carry_out)
        self._actions: dict[str, Callable[[int], None]] = {
            "local-stop": self._press_stop,
            "local-release": self._release_stop,
            "takeover": self._take_over,
            "takeover-release": self._hand_back,
            "supervisor-leaves": lambda now_ns: self._supervise_motion(now_ns, False),
            "supervisor-returns": lambda now_ns: self._supervise_motion(now_ns, True),
        }
        self.network.watching = traits.quality.checks_before_start
        self._silence_ns = ns(limits["command_silence_s"])
        self._safe_ns = ns(limits["safe_state_silence_s"] * traits.safe_state_at)
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
        self._switched_local = False
        self._deaf = False
        self._coast_until_ns = -1

    def start(self, now_ns: int) -> None:
        """Power on: brakes engaged, not moving, heartbeats and streams begin."""
        self.port.contact(now_ns, "brake", 1)
        self.port.contact(now_ns, "motion", 0)
        self.start_heartbeats(now_ns)
        self.studio.start(now_ns)
        self.network.start(now_ns)

    def operate(self, now_ns: int, action: str) -> None:
        """The stop button and the take-over switch beside the patient; else studio and log.

        ``local-stop``, ``local-release``, ``takeover``, ``takeover-release``; of planned motion,
        ``supervisor-leaves``, ``supervisor-returns``.
        """
        act = self._actions.get(action)
        if act is not None:
            act(now_ns)
        else:
            self.studio.operate(now_ns, action)
            super().operate(now_ns, action)

    def _press_stop(self, now_ns: int) -> None:
        self.port.contact(now_ns, "stop-button", 1)
        if self.traits.obeys_local_stop and not self._deaf:
            self.port.at(now_ns + ns(self.traits.stop_after_s), self._stop)

    def _release_stop(self, now_ns: int) -> None:
        self.port.contact(now_ns, "stop-button", 0)
        self.stop_latched = False
        self.alarms.update(now_ns, "local-stop-active", False)

    def _stop(self, now_ns: int) -> None:
        self.stop_latched = True
        if self.state is Arming.ENABLED:
            self._coast_until_ns = now_ns + ns(self.traits.takeover.coasts_s)
        self._trigger(now_ns, Trigger.LOCAL_STOP)
        self.alarms.update(now_ns, "local-stop-active", True)

    def _supervise_motion(self, now_ns: int, present: bool) -> None:
        """The enabling switch of the person beside the patient."""
        if self.plan is None:
            return
        self.port.contact(now_ns, "enabling-switch", int(present))
        self.plan.supervised = present
        if not self.plan.allows_motion:
            self._trigger(now_ns, Trigger.HOLD)

    def _take_over(self, now_ns: int) -> None:
        self.port.contact(now_ns, "takeover-switch", 1)
        self._switched_local = True
        self.port.at(now_ns + ns(self.traits.takeover.after_s), self._taken_over)

    def _taken_over(self, now_ns: int) -> None:
        """Local control begins, whatever the network does; a pressed stop stays stronger."""
        barred = self.network.abnormal and not self.traits.takeover.in_fault
        if self.stop_latched or barred or not self._switched_local:
            self.port.log(now_ns, "takeover-refused", {"state": str(self.state)})
            return
        self._deaf = not self.traits.takeover.stops_afterwards
        self._trigger(now_ns, Trigger.TAKEOVER)
        self.local.start(now_ns, self._position_um)

    def _hand_back(self, now_ns: int) -> None:
        self.port.contact(now_ns, "takeover-switch", 0)
        self._switched_local = False
        self._trigger(now_ns, Trigger.RELEASE)
        if self.traits.takeover.rearms_on_release:
            self._trigger(now_ns, Trigger.ENABLE)

    def _on_command(self, now_ns: int, link: int, message: Message) -> None:
        _, seq, sent_ns, value, _, _, _ = message
        self.network.watch.packet(now_ns, seq, sent_ns)
        if seq <= self._highest_seq:
            if self.traits.drops_old_sequence:
                self._drop("old sequence")
                return
        else:
            self._highest_seq = seq
        if not self._obeys_remote(now_ns):
            return
        if now_ns - sent_ns > self._age_ns:
            self._drop("older than declared")
            return
        if self._rebase:
            jump = abs(value - self._position_um)
            if jump > self.limits["position_jump_m"] * 1e6 and self.traits.keeps_position:
                self._drop("position jump")
                return
            self._rebase = False
        self._carry_out(now_ns, message)

    def _obeys_remote(self, now_ns: int) -> bool:
        if self.state is Arming.LOCAL:
            return not self.traits.takeover.rejects_remote
        return self.state is Arming.ENABLED or now_ns < self._coast_until_ns

    def _carry_out(self, now_ns: int, message: Message) -> None:
        if not self._moving:
            self._move(now_ns, True, message.value)
        self._position_um = message[3]
        self.port.actuate(now_ns, message)

    def _drop(self, reason: str) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def _move(self, now_ns: int, moving: bool, position_um: int) -> None:
        self._moving = moving
        edge = "start" if moving else "stop"
        self.port.contact(now_ns, "position", {"um": position_um, "edge": edge})
        self.port.contact(now_ns, "motion", int(moving))

    def _halt(self, now_ns: int) -> None:
        if now_ns < self._coast_until_ns:
            self.port.at(self._coast_until_ns, self._halt)
        elif self._moving and self.state not in MOVING:
            self._move(now_ns, False, self._position_um)

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
        if state is not Arming.LOCAL:
            self.local.stop()
        if self._moving and state not in MOVING:
            self._halt(now_ns)
        if (state in BRAKED) != self._braked:
            self._braked = state in BRAKED
            self.port.contact(now_ns, "brake", int(self._braked))
        if state in MOVING:
            self._rebase = True
            self.network.watching = True
        return True

    def _on_look(self, now_ns: int, reading: WatchReading) -> None:
        """Once per delay window: act on the declared limits."""
        network, traits = self.network, self.traits
        late, lossy = network.delay.present, network.loss.present
        unsteady = network.jitter.present and traits.quality.holds_on_jitter
        if (late and traits.holds_on_delay) or (lossy and traits.holds_on_loss) or unsteady:
            self._trigger(now_ns, Trigger.HOLD)
        if not traits.needs_rearm and self.ready:
            self._trigger(now_ns, Trigger.CLEAR)
            self._trigger(now_ns, Trigger.REARM)
        for reason, count in self._dropped.items():
            self.port.log(now_ns, "commands-dropped", {"reason": reason, "count": count})
        self._dropped.clear()

    def _on_guard(self, now_ns: int, silence_ns: int) -> None:
        """Silence of the command stream: hold, and after longer silence the safe state."""
        if silence_ns > self._silence_ns and self.traits.holds_on_silence:
            self._trigger(now_ns, Trigger.HOLD)
        if silence_ns > self._safe_ns and self.traits.reaches_safe_state:
            self._trigger(now_ns, Trigger.SAFE)

    @property
    def ready(self) -> bool:
        """The network is good again, nothing is latched: an operator may re-arm."""
        network = self.network
        free = not self.stop_latched and self.state is not Arming.LOCAL
        planned = self.plan is None or self.plan.allows_motion
        good = self.connected and network.heard and not network.abnormal
        return free and planned and good

    def heartbeat_body(self) -> dict[str, Any]:
        """State, position and readiness for the console."""
        body: dict[str, Any] = {
            "state": str(self.state),
            "um": self._position_um,
            "ready": int(self.ready),
            "alarms": list(self.alarms.active),
        }
        if self.plan is not None:
            body["plan"] = self.plan.missing[:_TOLD]
        return body

    def on_beat(self, now_ns: int) -> None:
        """Nothing beyond what both sides do."""

    def _on_heartbeat(self, now_ns: int, link: int, message: Message) -> None:
        body = message.body
        if body is None:
            return
        self.links.peer_hears(body["heard"])
        self.studio.heartbeat(now_ns, body)
        number, wanted = body["request"]
        if number <= self._request_done:
            return
        self._request_done = number
        accepted = self.ready and self._trigger(now_ns, Trigger(wanted))
        if not accepted:
            self.port.log(now_ns, "rearm-rejected", {"wanted": wanted, "state": str(self.state)})
