"""A tiny device for the local bench's tests: commands one way, video bursts the other.

Its behaviour is chosen by the profile's defects, so that one file serves every test.
"""

import os
import signal
import time

from bench.devices.ports import Message
from bench.devices.profile import DeviceProfile, Stream
from bench.units import ns

CONTROL = Stream("control", "Control", 0, "doctor", 7000, (), 200, 0.02, carriage="dtls")
COMMAND = Stream("haptic-command", "Command", 1, "doctor", 7001, ("force",), 36, 0.001)
VIDEO = Stream(
    "video-2d", "Video", 2, "patient", 7002, ("video-2d",), 1200, 0.02, packets=5, carriage="rtp"
)


def profile(**defects: float) -> DeviceProfile:
    return DeviceProfile(
        name="stand-in",
        title="Stand-in",
        device_class="therapy",
        manufacturer="tests",
        model="stand-in",
        version="1",
        machine="stand-in",
        streams=(CONTROL, COMMAND, VIDEO),
        limits={},
        alarms=(),
        declares={},
    ).with_defects(defects)


class Side:
    """Sends its streams; executes commands; logs the bursts it gets."""

    def __init__(self, device, side, port):
        self.side, self.port = side, port
        self.defects = device.defects or {}
        self.seq = dict.fromkeys(range(3), 0)
        self.due = {}
        if "crash-in-build" in self.defects and side == "patient":
            raise RuntimeError("deliberate: build")

    def start(self, now_ns):
        self.port.contact(now_ns, "brake", 1)
        for stream in (CONTROL, COMMAND) if self.side == "doctor" else (CONTROL, VIDEO):
            self.due[stream.code] = now_ns
            self.tick(stream, now_ns)
        for name, at_s in self.defects.items():
            if self.side == "patient":
                self.port.at(ns(at_s), lambda now, name=name: self.misbehave(name))

    def misbehave(self, name):
        if name == "crash":
            raise RuntimeError("deliberate: crash")
        if name == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "hang":
            time.sleep(60)

    def tick(self, stream, now_ns):
        code = stream.code
        seq = self.seq[code]
        self.seq[code] += stream.packets
        if stream is CONTROL:
            for link in (0, 1):
                self.port.send(now_ns, link, Message(code, seq, now_ns, 0, {"side": self.side}))
        elif stream.packets > 1:
            self.port.send_burst(now_ns, 0, Message(code, seq, now_ns), stream.packets)
        else:
            self.port.send(now_ns, 0, Message(code, seq, now_ns, seq))
        self.due[code] += ns(stream.period_s)
        self.port.at(self.due[code], lambda now: self.tick(stream, now))

    def receive(self, now_ns, link, message):
        if message.stream == COMMAND.code:
            assert message.value == message.seq
            self.port.actuate(now_ns, message)

    def receive_burst(self, now_ns, link, message, received, count):
        self.port.log(now_ns, "burst", {"seq": message.seq, "received": received, "of": count})

    def operate(self, now_ns, action):
        self.port.contact(now_ns, "stop-button", int(action == "local-stop"))


def build(device, side, port):
    return Side(device, side, port)
