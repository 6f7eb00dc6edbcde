"""The transition tables: complete where they must be, refusing everywhere else."""

import itertools

import pytest

from bench.devices.alarms import TRANSITIONS as ALARM_TABLE
from bench.devices.alarms import AlarmEvent, AlarmState, AlarmSystem
from bench.devices.arming import MOVING, TRANSITIONS, Arming, Trigger, after
from bench.devices.links import LinkSupervisor
from bench.devices.profile import AlarmProfile
from bench.devices.watch import NetworkWatch, Persistence
from bench.units import ns


def test_local_stop_leads_from_every_state_to_disabled():
    assert {after(state, Trigger.LOCAL_STOP) for state in Arming} == {Arming.DISABLED}


def test_only_explicit_commands_lead_to_motion():
    into_motion = {trigger for (_, trigger), to in TRANSITIONS.items() if to in MOVING}
    assert into_motion == {Trigger.ENABLE, Trigger.REARM, Trigger.TAKEOVER}


def test_fault_is_left_only_by_clear_or_at_the_patient():
    leaving = {t for t in Trigger if after(Arming.FAULT, t) not in (None, Arming.FAULT)}
    assert leaving == {Trigger.CLEAR, Trigger.LOCAL_STOP, Trigger.TAKEOVER}


def test_the_takeover_is_open_from_every_state_and_ends_disarmed():
    assert {after(state, Trigger.TAKEOVER) for state in Arming if state is not Arming.LOCAL} == {
        Arming.LOCAL
    }
    leaving = {t: after(Arming.LOCAL, t) for t in Trigger if after(Arming.LOCAL, t) is not None}
    assert leaving == {Trigger.LOCAL_STOP: Arming.DISABLED, Trigger.RELEASE: Arming.DISABLED}


def test_pairs_outside_the_table_are_refused():
    refused = [p for p in itertools.product(Arming, Trigger) if p not in TRANSITIONS]
    assert (Arming.PAUSED, Trigger.ENABLE) in refused
    assert all(after(*pair) is None for pair in refused)


def test_every_alarm_state_can_be_left_and_reached():
    assert {s for s, _ in ALARM_TABLE} == set(AlarmState)
    assert set(ALARM_TABLE.values()) == set(AlarmState)
    assert {e for _, e in ALARM_TABLE} == set(AlarmEvent)


class _Clock:
    """A port that only keeps timers and signals."""

    def __init__(self):
        self.timers, self.signals, self.entries = [], [], []

    def at(self, t_ns, call):
        self.timers.append((t_ns, call))

    def signal(self, now_ns, name, value):
        self.signals.append((now_ns, value["on"], value["priority"]))

    def log(self, now_ns, name, value):
        self.entries.append((now_ns, value["on"]))

    def run_to(self, t_ns):
        while due := sorted(t for t in self.timers if t[0] <= t_ns):
            self.timers.remove(due[0])
            due[0][1](due[0][0])


@pytest.fixture
def alarm():
    port = _Clock()
    profile = AlarmProfile("lost", "Lost", "high", 0.1, 0.1)
    system = AlarmSystem(
        (profile,), port, signal_after_s=0.1, minimum_signal_s=1.0, priority={}, muted=frozenset()
    )
    return port, system


def test_condition_and_signal_are_delayed_apart(alarm):
    port, system = alarm
    system.update(ns(1.0), "lost", True)
    assert port.entries == [(ns(1.0), True)]
    assert port.signals == []
    port.run_to(ns(2.0))
    assert port.signals == [(ns(1.1), True, "high")]


def test_a_brief_condition_is_signalled_all_the_same(alarm):
    port, system = alarm
    system.update(ns(1.0), "lost", True)
    system.update(ns(1.01), "lost", False)
    port.run_to(ns(5.0))
    assert port.signals == [(ns(1.1), True, "high"), (ns(2.1), False, "high")]


def test_a_lasting_condition_sounds_until_it_ends(alarm):
    port, system = alarm
    system.update(ns(1.0), "lost", True)
    port.run_to(ns(9.0))
    system.update(ns(9.0), "lost", False)
    port.run_to(ns(20.0))
    assert port.signals == [(ns(1.1), True, "high"), (ns(10.0), False, "high")]


def test_an_unknown_alarm_raises_nothing(alarm):
    port, system = alarm
    system.update(0, "unheard-of", True)
    assert port.entries == []
    assert system.active == ()


def _supervisor(**kwargs):
    links = LinkSupervisor(2, silence_s=0.15, switch_back_after_s=2.0, **kwargs)
    links.last_heard_ns = [ns(1.0), ns(1.0)]
    links.supervise(ns(1.0))
    links.peer_hears([1, 1])
    return links


def test_a_half_open_link_is_not_usable():
    links = _supervisor()
    links.peer_hears([0, 1])
    assert links.choose(ns(1.0)) == (0, 1, "active link lost")


def test_switches_over_and_back_without_oscillating():
    links = _supervisor()
    links.choose(ns(1.0))
    links.last_heard_ns = [ns(1.0), ns(1.2)]
    assert links.supervise(ns(1.2)) == [(0, False)]
    assert links.choose(ns(1.2)) == (0, 1, "active link lost")
    links.last_heard_ns = [ns(1.3), ns(1.3)]
    links.supervise(ns(1.3))
    assert links.choose(ns(1.3)) is None
    links.last_heard_ns = [ns(3.3), ns(3.3)]
    assert links.choose(ns(3.2)) is None
    assert links.choose(ns(3.3)) == (1, 0, "preferred link restored")


def test_stays_where_it_is_when_nothing_is_usable():
    links = _supervisor()
    links.peer_hears([0, 0])
    assert links.choose(ns(1.0)) is None
    assert links.active == 0


def test_watch_counts_loss_and_smallest_age():
    watch = NetworkWatch(delay_window_s=0.05, loss_window_s=0.1)
    for seq in (0, 1, 2, 5):
        watch.packet(ns(1.0) + seq, seq, ns(0.99))
    reading = watch.bucket()
    assert reading.delay_s == pytest.approx(0.01, abs=1e-6)
    assert (reading.lost, reading.loss) == (2, pytest.approx(2 / 6))
    assert watch.bucket().delay_s is None
    assert watch.bucket().lost == 0


def test_persistence_clears_only_after_a_quiet_time():
    condition = Persistence(0.3)
    assert condition.update(0, True, False)
    assert condition.update(ns(0.2), False, True)
    assert condition.update(ns(0.4), False, False)
    assert condition.update(ns(0.5), False, True)
    assert condition.update(ns(0.79), False, True)
    assert not condition.update(ns(0.8), False, True)
