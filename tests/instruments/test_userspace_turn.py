"""One userspace emulator takes a link over from another while packets flow."""

import threading
import time

import pytest

from bench.network.impairment import Delay, Impairment
from instruments.emulators.base import LinkPlan
from instruments.emulators.userspace import Options, UserspaceEmulator

SEED = 5


def way(report):
    return report.direction("primary", "to-doctor")


def joining(changes=(), waits=True):
    emulator = UserspaceEmulator(Options(waits=waits))
    plan = LinkPlan("primary", "fa", "fb", (), tuple(changes), SEED)
    emulator.start([plan], time.monotonic_ns())
    return emulator


class Flow(threading.Thread):
    """Frames sent into the wire until told to stop: some at a time, a millisecond apart."""

    def __init__(self, link, at_a_time):
        super().__init__()
        self.link, self.at_a_time, self.stopped = link, at_a_time, threading.Event()

    def run(self):
        while not self.stopped.wait(0.001):
            for _ in range(self.at_a_time):
                self.link.send(len(self.link.sent))


@pytest.mark.parametrize("at_a_time", [1, 40])
def test_one_takes_over_from_another_and_each_packet_goes_once(isolated, wire, at_a_time):
    """What the second holds back when the third takes over goes then, not 20 s later."""

    def check():
        link = wire()
        first = joining(waits=False)
        flow = Flow(link, at_a_time)
        flow.start()
        time.sleep(0.1)
        second = joining([(0, Impairment(Delay(20.0)))])
        notes = first.stop(drain=True, until_ns=second.open()).notes
        time.sleep(0.1)
        third = joining()
        until_ns = third.open()
        report = second.stop(drain=True, until_ns=until_ns)
        time.sleep(0.1)
        flow.stopped.set()
        flow.join()
        sent = len(link.sent)
        arrived = link.wait_received(link.b, lambda more: len(more) >= sent)
        last = third.stop(drain=True)
        arrived += link.received(link.b)
        link.kept_all()
        if late := [*notes, *report.notes]:
            raise link.too_slow(late[0])
        for each in (report, last):
            assert way(each).balanced
            assert way(each).emulator_drops == way(each).unread == 0
        assert way(report).accepted > 50 * at_a_time
        assert way(last).accepted > 50 * at_a_time
        return sorted([number for number, *_ in arrived]) == list(range(sent)), sent

    whole, sent = isolated(check)
    assert whole
    assert sent > 150 * at_a_time


def test_one_that_waits_for_its_turn_passes_nothing_on(isolated, wire):
    def check():
        link, emulator = wire(), joining()
        for number in range(50):
            link.send(number)
        time.sleep(0.1)
        report = emulator.stop()
        return link.received(link.b), way(report).rx, way(report).unread

    assert isolated(check) == ([], 0, 0)
