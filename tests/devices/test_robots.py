"""The remote robots' profiles against their tables, and the parts that only some of them have."""

import dataclasses

import pytest

from bench.devices import registry
from bench.devices.arming import Arming
from bench.devices.defects import traits_of
from bench.devices.links import LinkSupervisor, LinkTraits
from bench.devices.local_control import LOCAL_STREAM, PERIOD_S, LocalControl
from bench.devices.planned import PIECES, Plan, PlanSender
from bench.devices.ports import Message
from bench.devices.quality import JitterWatch
from bench.devices.robot.patient import PatientSide
from bench.measure.needs import ON_DEMAND
from bench.requirements.loader import load_catalogue
from bench.units import ns

ORTHOPAEDIC = registry.find_device("orthopaedic-robot")
ARM = registry.find_device("rehabilitation-arm")


class Clock:
    """A port that keeps timers and everything that leaves the device."""

    def __init__(self):
        self.timers, self.sent, self.events, self.actuated = [], [], [], []
        self.count = 0

    def at(self, t_ns, call):
        self.count += 1
        self.timers.append((t_ns, self.count, call))

    def send(self, now_ns, link, message):
        self.sent.append((now_ns, link, message))

    def follow(self, now_ns, link):
        pass

    def send_burst(self, now_ns, link, message, count):
        self.send(now_ns, link, message)

    def actuate(self, now_ns, message):
        self.actuated.append((now_ns, message))

    def contact(self, now_ns, name, value):
        self.events.append((now_ns, name, value))

    signal = log = contact

    def run_to(self, t_ns):
        while due := sorted(timer[:2] for timer in self.timers if timer[0] <= t_ns):
            (timer,) = [t for t in self.timers if t[:2] == due[0]]
            self.timers.remove(timer)
            timer[2](timer[0])


@pytest.mark.parametrize("device", [ORTHOPAEDIC, ARM], ids=lambda device: device.name)
def test_every_stream_lies_inside_the_table_of_its_class(device):
    sizing = [
        entry
        for entry in load_catalogue().values()
        if entry.kind == "sizing"
        and entry.device_class == device.device_class
        and entry.metric == "rate"
        and not entry.id.endswith("-16m")
    ]
    checked = set()
    for stream in device.streams:
        for entry in sizing:
            if entry.stream not in stream.kinds:
                continue
            low, high = entry.low, entry.high
            if entry.readings:
                (reading,) = [r for r in entry.readings if r.default]
                low, high = reading.low, reading.high
            inside = low <= stream.rate_bps <= high if high else stream.rate_bps < low
            assert inside, (stream.name, stream.rate_bps, entry.id)
            checked |= set(stream.kinds)
    kinds = {kind for stream in device.streams for kind in stream.kinds}
    assert checked == kinds - {ON_DEMAND}


def test_the_arm_carries_every_stream_of_table_5():
    kinds = {kind for stream in ARM.streams for kind in stream.kinds}
    wanted = {e.stream for e in load_catalogue().values() if e.id.startswith("000-t5-")}
    assert kinds == wanted - {"haptic-raw"}  # none has both of the table's rates


def patient(device):
    port = Clock()
    side = PatientSide(device, traits_of(device), port)
    side.start(0)
    return port, side


def hear(port, side, now_ns, pieces=()):
    """A second of good network: heartbeats, commands and pieces of the plan."""
    control, command = side.control, side.profile.stream(side.profile.watched)
    for k in range(100):
        t_ns = now_ns + k * ns(0.01)
        port.run_to(t_ns)
        body = {"heard": [1, 1], "request": [0, ""]}
        for link in (0, 1):
            side.receive(t_ns, link, Message(control, k, t_ns, 0, body))
        number = t_ns // ns(0.01)
        side.receive(t_ns, 0, Message(command.code, number, t_ns - ns(0.002), 0))
    for seq, piece in enumerate(pieces):
        side.receive(now_ns + ns(1), 0, Message(side.profile.stream("plan").code, seq, 0, piece))
    return now_ns + ns(1)


def ask(side, now_ns, number, wanted):
    body = {"heard": [1, 1], "request": [number, wanted]}
    side.receive(now_ns, 0, Message(side.control, number, now_ns, 0, body))


def test_a_planned_robot_is_armed_only_with_its_plan_and_under_supervision():
    port, side = patient(ORTHOPAEDIC)
    now = hear(port, side, 0, range(PIECES - 1))
    ask(side, now, 1, "enable")
    assert side.state is Arming.DISABLED, "one piece of the plan is missing"
    assert side.heartbeat_body()["plan"] == [PIECES - 1]
    now = hear(port, side, now, [PIECES - 1])
    side.operate(now, "supervisor-leaves")
    ask(side, now, 2, "enable")
    assert side.state is Arming.DISABLED, "nobody stands by"
    side.operate(now, "supervisor-returns")
    ask(side, now, 3, "enable")
    assert side.state is Arming.ENABLED
    side.operate(now, "supervisor-leaves")
    assert side.state is Arming.PAUSED
    side.operate(now, "supervisor-returns")
    assert side.state is Arming.PAUSED, "only a re-arm starts it again"
    ask(side, now, 4, "rearm")
    assert side.state is Arming.ENABLED


def test_a_robot_without_a_plan_knows_no_supervisor():
    _, side = patient(ARM)
    side.operate(0, "supervisor-leaves")
    assert "plan" not in side.heartbeat_body()


def test_the_plan_is_sent_until_all_of_it_has_arrived():
    port, plan = Clock(), Plan()
    links = LinkSupervisor(2, silence_s=0.15, switch_back_after_s=2.0)
    sender = PlanSender(ORTHOPAEDIC.stream("plan"), port, links)
    sender.start(0)
    for step in range(1, 200):
        port.run_to(step * ns(0.01))
        for number, (_, _, message) in enumerate(port.sent):
            if number % 3:
                plan.receive(0, 0, message)
        sender.missing = tuple(plan.missing[:8])
    assert plan.missing == []
    before = len(port.sent)
    port.run_to(ns(5.0))
    assert len(port.sent) == before


def test_local_control_gives_commands_from_where_the_drive_is_until_it_is_stopped():
    port = Clock()
    local = LocalControl(port, port.actuate)
    local.start(0, 500)
    port.run_to(ns(10 * PERIOD_S))
    local.stop()
    port.run_to(ns(1.0))
    assert [t_ns for t_ns, _ in port.actuated] == [ns(k * PERIOD_S) for k in range(11)]
    assert port.actuated[0][1].value == 500
    assert {message.stream for _, message in port.actuated} == {LOCAL_STREAM}
    local.start(ns(1.0), 0)
    local.stop()
    local.start(ns(1.005), 0)
    port.run_to(ns(1.1))
    assert len(port.actuated) == 11 + 1 + 10, "an old round does not come back to life"


def test_a_pressed_stop_is_stronger_than_a_takeover():
    port, side = patient(ARM)
    now = hear(port, side, 0)
    side.operate(now, "local-stop")
    side.operate(now, "takeover")
    port.run_to(now + ns(0.5))
    assert (side.state, port.actuated) == (Arming.DISABLED, [])
    assert "takeover-refused" in {name for _, name, _ in port.events}
    side.operate(now + ns(0.5), "takeover-release")
    side.operate(now + ns(0.5), "local-release")
    side.operate(now + ns(0.6), "takeover")
    port.run_to(now + ns(1.0))
    assert side.state is Arming.LOCAL
    side.operate(now + ns(1.0), "local-stop")
    count = len(port.actuated)
    port.run_to(now + ns(2.0))
    assert (side.state, len(port.actuated)) == (Arming.DISABLED, count)


def test_jitter_is_seen_where_every_window_spreads():
    watch = JitterWatch(3, 0.004, 0.8)
    assert [watch.look(s) for s in (0.009, 0.009)] == [(False, False)] * 2
    assert watch.look(0.009) == (True, False)
    assert watch.look(0.001) == (False, False), "one steady window"
    assert watch.look(None) == (False, False), "too few packets say nothing"
    assert [watch.look(0.001) for _ in range(3)][-1] == (False, True)


def test_a_link_that_works_one_way_only_is_no_good_link():
    def supervised(traits):
        links = LinkSupervisor(2, silence_s=0.15, switch_back_after_s=2.0, traits=traits)
        links.last_heard_ns = [ns(1.0), ns(2.0)]
        links.peer_hears([1, 1])
        links.supervise(ns(2.0))
        return links

    healthy = supervised(LinkTraits())
    assert (healthy.usable(0), healthy.announced(ns(2.0), 0)) == (False, True)
    trusting = supervised(LinkTraits(trusts_half_open=True))
    assert (trusting.usable(0), trusting.announced(ns(2.0), 0)) == (True, False)
    assert trusting.hears == [False, True], "it tells the truth to the other side"


def test_what_needs_a_plan_streams_it():
    assert ORTHOPAEDIC.stream("plan").source == "doctor"
    bare = dataclasses.replace(ORTHOPAEDIC, functions=("motion",))
    assert "plan" not in patient(bare)[1].heartbeat_body()
