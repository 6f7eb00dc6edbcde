"""``bench emulate`` as its users and their programs meet it, between real interfaces."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.own_time import queued_s, took_to_end

ROOT = Path(__file__).parents[2]
ENTRY = """
from bench import cli
from bench.commands.emulate import emulate
if "emulate" not in [command.name for command in cli.app.registered_commands]:
    cli.app.command("emulate")(emulate)
cli.main()
"""


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


isolation = load("telemed_bench_isolation", ROOT / "tests" / "instruments" / "conftest.py")
ends = load("telemed_bench_ends", ROOT / "tests" / "support" / "ends.py")
isolated, Wire, settled = isolation.run_isolated, isolation.Wire, ends.settled


class Command:
    """A running ``bench emulate``; the caller kills it."""

    def __init__(self, place, *words, json_lines=True, **options):
        keep = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "PYTHON", "SSH_"))
        }
        environment = keep | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            "TELEMED_BENCH_STATE": str(place / "state"),
            "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200", "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        words = ["emulate", *map(str, words), *(["--json"] if json_lines else [])]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", ENTRY, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=environment,
            **options,
        )
        self._text = b""

    def line(self, within=20.0):
        """The next line of JSON."""
        deadline = time.monotonic() + within
        while b"\n" not in self._text:
            left = deadline - time.monotonic()
            assert left > 0, "nothing was said"
            if select.select([self.process.stdout], [], [], left)[0]:
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                assert data, self.process.stderr.read().decode()
                self._text += data
        line, _, self._text = self._text.partition(b"\n")
        return json.loads(line)

    def until(self, event):
        """The next record of that event."""
        while (record := self.line())["event"] != event:
            pass
        return record

    @staticmethod
    def control(ready, impairment, direction="left-to-right"):
        """Change the impairment from outside; the first answer."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(ready["control"])
            request = {"direction": direction, "impairment": impairment}
            sock.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(sock.makefile().readline())

    def end(self, number=signal.SIGINT, group=False):
        """Send a signal: exit code, seconds it took by its own doing, last record, errors."""
        began = time.monotonic()
        (os.killpg if group else os.kill)(self.process.pid, number)
        took = took_to_end(self.process.pid, began)
        out, err = self.process.communicate(timeout=30)
        lines = (self._text + out).splitlines()
        last = json.loads(lines[-1]) if lines else None
        return self.process.returncode, took, last, err.decode()


@contextlib.contextmanager
def emulating(place, *words, **options):
    """A command that is joined to fa and fb and ready."""
    (place / "state").mkdir(mode=0o700, exist_ok=True)
    command = Command(place, "--left", "fa", "--right", "fb", *words, **options)
    try:
        yield command
    finally:
        command.process.kill()
        command.process.wait()
        command.process.stdout.close()
        command.process.stderr.close()


ENTER = """
import ctypes, os
for name, kind in (("user", 0x10000000), ("net", 0x40000000)):
    there = f"/proc/{pid}/ns/{{name}}"
    if os.readlink(there) != os.readlink(f"/proc/self/ns/{{name}}"):
        with open(there) as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), kind):
                raise OSError(ctypes.get_errno(), "setns")
"""


def refused(bench, place, *words):
    """A command in this process's namespace that ends at once with exit code 2; its one line."""
    done = bench.call(
        "emulate", *words, "--json",
        setup=ENTER.format(pid=os.getpid()), env={"TELEMED_BENCH_STATE": str(place / "state")},
    )  # fmt: skip
    assert done.code == 2, done.err
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("bench: ")
    return line


def all_of(count):
    return lambda arrived: len(arrived) >= count


def set_up(place):
    """A wire whose ends have offloads on, one of them down; and how they are."""
    wire = Wire()
    ends.ip("link set dev fb down")
    (place / "state").mkdir(mode=0o700, exist_ok=True)
    return wire, ends.states()


def heed_hangups():
    """Whatever started the tests (nohup) may have had them ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def ignore_interrupts():
    """As a shell does for a command in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGINT, {}),
        (signal.SIGTERM, {}),
        (signal.SIGHUP, {"preexec_fn": heed_hangups}),
        (signal.SIGINT, {"preexec_fn": ignore_interrupts}),
        (signal.SIGTERM, {"start_new_session": True}),
    ],
    ids=["SIGINT", "SIGTERM", "SIGHUP", "SIGINT, inherited ignored", "SIGTERM to the group"],
)
def test_it_joins_until_a_signal_and_puts_all_back(tmp_path, number, options):
    def check():
        wire, before = set_up(tmp_path)
        with emulating(tmp_path, "--delay", "20ms", "--seed", "9", **options) as command:
            ready = command.line()
            ready_after = time.monotonic() - command.began - queued_s(command.process.pid)
            for each in range(50):
                wire.send(each)
                wire.b.send(wire.frame(100 + each))
            there = wire.wait_received(wire.b, all_of(50))
            back = wire.wait_received(wire.a, all_of(50))
            change = command.until("change")
            code, took, last, err = command.end(number, group="start_new_session" in options)
        for arrived in (there, back):
            assert len(arrived) == 50
            assert min(at - made for _, made, at, *_ in arrived) >= 20_000_000
        assert settled(before, tmp_path / "state") == ([], [])
        return ready, ready_after, change, code, took, last, err

    ready, ready_after, change, code, took, last, err = isolated(check)
    assert ready["event"] == "ready"
    assert (ready["left"], ready["right"], ready["seed"]) == ("fa", "fb", 9)
    assert ready["backend"] in ("netem", "userspace")
    assert ready_after < 5
    assert change["impairment"]["delay"]["mean_s"] == 0.02
    assert (change["scheduled"], change["commanded"]) == (0, 0)
    assert 0 < change["effective"] < 60
    assert code == 130, err
    assert took < 2
    assert (last["event"], last["reason"]) == ("end", "interrupted")
    assert last["left-to-right"]["rx"] == last["left-to-right"]["tx"] == 50
    assert last["right-to-left"]["tx"] == 50
    assert err == ""


def test_a_bench_file_names_the_interfaces(tmp_path):
    def check():
        _, before = set_up(tmp_path)
        file = tmp_path / "lab.toml"
        mac = before[0][0].mac
        file.write_text(f'[links.primary]\nleft = {{mac = "{mac}"}}\nright = {{name = "fb"}}\n')
        command = Command(tmp_path, "--bench-file", file)
        with command.process:
            ready = command.line()
            code, *_ = command.end()
        return ready["left"], ready["right"], code, settled(before, tmp_path / "state")

    assert isolated(check) == ("fa", "fb", 130, ([], []))


def test_only_the_named_direction_is_impaired(tmp_path):
    def check():
        wire, _ = set_up(tmp_path)
        words = ("--delay", "50ms", "--direction", "left-to-right")
        with emulating(tmp_path, *words) as command:
            command.line()
            for each in range(30):
                wire.send(each)
                wire.b.send(wire.frame(100 + each))
            there = wire.wait_received(wire.b, all_of(30))
            back = wire.wait_received(wire.a, all_of(30))
        slow = min(at - made for _, made, at, *_ in there)
        quick = sorted(at - made for _, made, at, *_ in back)[15]
        return len(there), len(back), slow >= 50_000_000, quick < 50_000_000

    assert isolated(check) == (30, 30, True, True)


def test_what_waits_at_the_end_still_arrives(tmp_path):
    def check():
        wire, _ = set_up(tmp_path)
        with emulating(tmp_path, "--delay", "1000s", "--backend", "userspace") as command:
            command.line()
            for each in range(200):
                wire.send(each)
            command.until("change")
            code, took, last, err = command.end()
        arrived = wire.wait_received(wire.b, all_of(200))
        return [number for number, *_ in arrived] == list(range(200)), code, took, last, err

    whole, code, took, last, err = isolated(check)
    assert whole
    assert (code, err) == (130, "")
    assert took < 2
    assert last["left-to-right"]["tx"] == 200
    assert last["left-to-right"]["in_flight"] == 0


SCENARIO = """
name = "short"
title = "A short outage"

[links.primary.both]
delay = "1ms"

[[steps]]
name = "settle"
kind = "hold"
duration = "300ms"

[[steps]]
name = "gap"
kind = "outage"
duration = "200ms"
link = "primary"
mode = "drop"
role = "beyond"

[[steps]]
name = "after"
kind = "hold"
duration = "500ms"
"""


def test_a_scenario_ends_by_itself(tmp_path):
    def check():
        wire, before = set_up(tmp_path)
        file = tmp_path / "short.toml"
        file.write_text(SCENARIO)
        with emulating(tmp_path, "--scenario", file, "--backend", "userspace") as command:
            ready = command.line()
            while time.monotonic_ns() < ready["t0_monotonic_ns"] + 850_000_000:
                wire.send(0)
                time.sleep(0.002)
            out, err = command.process.communicate(timeout=30)
            code = command.process.returncode
        records = [json.loads(line) for line in (command._text + out).splitlines()]
        return ready, records, code, err, settled(before, tmp_path / "state")

    ready, records, code, err, left = isolated(check)
    assert (code, err) == (0, b"")
    assert left == ([], [])
    assert ready["ends"] == pytest.approx(1.0)
    changes = [each for each in records if each.get("direction") == "left-to-right"]
    assert [each["scheduled"] for each in changes] == [0, 0.3, 0.5]
    assert [each["impairment"]["up"] for each in changes] == [True, False, True]
    assert all(each["effective"] >= each["scheduled"] for each in changes)
    assert records[-1]["reason"] == "scenario"
    assert records[-1]["time"] >= 1.0
    assert records[-1]["left-to-right"]["fates"]["down"] > 0


def documented_example():
    """The example of the documentation, as it stands there."""
    text = (ROOT / "docs" / "emulate.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(example.strip().splitlines()) <= 8
    return example


def test_another_process_changes_the_impairment_as_documented(tmp_path):
    def check():
        wire, _ = set_up(tmp_path)
        path = tmp_path / "c.sock"
        with emulating(tmp_path, "--control", path, "--backend", "userspace") as command:
            ready = command.line()
            assert ready["control"] == str(path)
            assert path.stat().st_mode & 0o777 == 0o600
            client = subprocess.run(
                [sys.executable, "-c", documented_example()],
                cwd=tmp_path, capture_output=True, text=True, timeout=30,
            )  # fmt: skip
            answer = json.loads(client.stdout.splitlines()[0])
            time.sleep(max(0, ready["t0_monotonic_ns"] * 1e-9 + answer["scheduled"]
                           - time.monotonic()) + 0.02)  # fmt: skip
            wire.send(1)
            (arrived,) = wire.wait_received(wire.b, all_of(1))
            while (change := command.until("change"))["scheduled"] == 0:
                pass
            command.end()
        return client.stderr, answer, arrived[2] - arrived[1], change, path.exists()

    errors, answer, waited, change, there = isolated(check)
    assert errors == ""
    assert answer["event"] == "scheduled"
    assert waited >= 40_000_000
    assert change["scheduled"] == answer["scheduled"]
    assert change["impairment"]["delay"]["mean_s"] == 0.04
    assert not there


def test_the_control_channel_answers_and_refuses(tmp_path):
    def check():
        wire, _ = set_up(tmp_path)
        with emulating(tmp_path, "--delay", "1ms", "--backend", "userspace") as command:
            path = command.line()["control"]
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(10)
                sock.connect(path)
                lines = sock.makefile("r")

                def ask(text, count=1):
                    sock.sendall(text.encode() + b"\n")
                    return [json.loads(lines.readline()) for _ in range(count)]

                said = {
                    "no JSON": ask("hello"),
                    "no object": ask("[1]"),
                    "unknown": ask('{"impairmant": {}}'),
                    "distorted": ask(
                        '{"impairment": {"delay": {"mean_s": 0.001, "law": "uniform",'
                        ' "spread_s": 0.1}}}'
                    ),
                    "direction": ask('{"direction": "up", "impairment": {}}'),
                    "when": ask('{"impairment": {}, "at": "soon"}'),
                    "what": ask('{"get": "weather"}'),
                    "both": ask('{"impairment": {"up": false}}', 2),
                    "counters": ask('{"get": "counters"}'),
                }
                wire.a.send(wire.frame(1))
                time.sleep(0.05)
                wire.a.send(wire.frame(2))
                said["met"] = [json.loads(lines.readline())]
                said["late"] = ask('{"impairment": {}, "direction": "to-doctor", "at": 0}')
            code, _, last, _ = command.end()
        return said, code, last

    said, code, last = isolated(check)
    for case, word in (
        ("no JSON", "not JSON"), ("no object", "not a JSON object"), ("unknown", "impairmant"),
        ("distorted", "jitter is larger"), ("direction", "right-to-left"), ("when", "no time"),
        ("what", "counters"), ("late", "before"),
    ):  # fmt: skip
        (answer,) = said[case]
        assert answer["event"] == "error", case
        assert word in answer["message"], case
    assert {each["direction"] for each in said["both"]} == {"left-to-right", "right-to-left"}
    assert said["counters"][0]["left-to-right"]["rx"] == 0
    (met,) = said["met"]
    assert met["event"] == "change"
    assert met["impairment"]["up"] is False
    assert code == 130
    assert last["left-to-right"]["fates"]["down"] >= 1


@pytest.mark.parametrize("seed", range(2))
def test_after_sigkill_nothing_is_left(tmp_path, seed):
    def check():
        wire, before = set_up(tmp_path)
        draw = random.Random(seed)
        found, longest = [], 0.0
        for number in range(3):
            with emulating(tmp_path, "--delay", "5ms") as command:
                if number:
                    time.sleep(draw.uniform(0.2, 1.6))
                else:
                    command.line()
                    wire.send(0)
                    time.sleep(draw.uniform(0.0, 0.5))
                command.process.kill()
                command.process.wait()
                killed = time.monotonic()
                found.append(settled(before, tmp_path / "state"))
                longest = max(longest, time.monotonic() - killed)
        return found, longest

    found, longest = isolated(check)
    assert found == [([], [])] * 3
    assert longest < 5  # within a second, on a host that has nothing else to do


def test_a_forwarder_that_dies_ends_it_as_the_benchs_own_fault(tmp_path):
    def check():
        _, before = set_up(tmp_path)
        with emulating(tmp_path, "--backend", "userspace") as command:
            pid = command.line()["pid"]
            for _ in range(2):
                command.until("change")  # then nobody asks the forwarders anything
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            forwarders = [
                int(each) for each in children
                if b"guardian" not in Path(f"/proc/{each}/cmdline").read_bytes()
            ]  # fmt: skip
            os.kill(forwarders[0], signal.SIGKILL)
            _, err = command.process.communicate(timeout=30)
            code = command.process.returncode
        return len(forwarders), code, err.decode(), settled(before, tmp_path / "state")

    count, code, err, left = isolated(check)
    assert (count, code) == (2, 4)
    assert "own fault" in err
    assert "Traceback" not in err
    assert left == ([], [])


def test_a_second_one_on_the_same_interface_is_refused(bench, tmp_path):
    def check():
        set_up(tmp_path)
        with emulating(tmp_path) as command:
            pid = command.line()["pid"]
            line = refused(bench, tmp_path, "--left", "fa", "--right", "fb")
            _, _, last, _ = command.end()
        return pid, line, last["reason"]

    pid, line, reason = isolated(check)
    assert f"in use by process {pid}" in line
    assert "--force fa" in line
    assert reason == "interrupted"


def test_bad_input_changes_nothing(bench, tmp_path):
    ends_of = ("--left", "fa", "--right", "fb")
    cases = {
        "jitter is larger than the delay": (*ends_of, "--delay", "1ms", "--jitter", "2ms"),
        "--loss = '1% 25%': is two figures: netem's correlation": (*ends_of, "--loss", "1% 25%"),
        "is no interface of this network namespace": ("--left", "fa", "--right", "nosuch"),
        "is named twice": ("--left", "fa", "--right", "fa"),
        "carries the default route": ends_of,
        "another path": (*ends_of, "--force", "fa", "--control", "/nosuch/x"),
        "unknown scenario": (*ends_of, "--force", "fa", "--scenario", "nosuch"),
    }

    def check():
        _, before = set_up(tmp_path)
        ends.ip("addr add 10.1.0.1/24 dev fa")
        ends.ip("route add default via 10.1.0.2")
        before = ends.states()
        said = {part: refused(bench, tmp_path, *words) for part, words in cases.items()}
        return said, settled(before, tmp_path / "state")

    said, left = isolated(check)
    for part, line in said.items():
        assert part in line
    assert left == ([], [])


def test_netem_where_there_is_none_is_refused_with_the_remedy(bench, tmp_path):
    from instruments.emulators.netem_probe import probe

    if probe().netem:
        pytest.skip("this kernel has netem")

    def check():
        _, before = set_up(tmp_path)
        words = ("--left", "fa", "--right", "fb", "--backend", "netem")
        line = refused(bench, tmp_path, *words)
        return line, settled(before, tmp_path / "state")

    line, left = isolated(check)
    assert "sch_netem" in line
    assert left == ([], [])


def test_plain_lines_for_people(tmp_path):
    def check():
        wire, _ = set_up(tmp_path)
        words = ("--delay", "2ms", "--loss", "100%")
        with emulating(tmp_path, *words, json_lines=False) as command:
            first = command.process.stdout.readline().decode()
            wire.send(1)
            time.sleep(0.5)
            command.process.send_signal(signal.SIGINT)
            out, err = command.process.communicate(timeout=30)
        return first, out.decode(), err.decode(), command.process.returncode

    first, out, err, code = isolated(check)
    assert first.startswith("fa <-> fb joined by ")
    assert "until Ctrl-C" in first
    assert "interfaces as before" in out
    assert "left-to-right: 1 in, 0 out, 1 lost" in out
    assert (err, code) == ("", 130)


def test_a_warning_where_checksums_come_unfinished(tmp_path):
    """A sender whose checksum is left to hardware: the emulator cannot finish it."""

    def check():
        set_up(tmp_path)
        ends.ip("addr add 10.9.0.1/24 dev pa")
        ends.ip("neigh add 10.9.0.2 lladdr 02:00:00:00:00:01 dev pa")
        with emulating(tmp_path, "--backend", "userspace", json_lines=False) as command:
            command.process.stdout.readline()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for _ in range(5):
                    sock.sendto(struct.pack("!Q", 1), ("10.9.0.2", 9))
            time.sleep(0.5)
            command.process.send_signal(signal.SIGINT)
            out, _ = command.process.communicate(timeout=30)
        return out.decode()

    assert "5 packets came with their checksum unfinished" in isolated(check)
