"""``bench probe`` as its users and their programs meet it."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.own_time import took_to_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bench probe needs Linux")

ROOT = Path(__file__).parents[2]
KEY = "00112233445566778899aabbccddeeff" * 2


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def record(process, event, within=20.0):
    """The next record of that event on a running command's standard output."""
    deadline = time.monotonic() + within
    for line in process.stdout:
        found = json.loads(line)
        if found["event"] == event:
            return found
        assert time.monotonic() < deadline, f"no {event}"
    raise AssertionError(f"no {event}: {process.stderr.read()}")


@contextlib.contextmanager
def started(bench, *words):
    """A running ``bench probe`` with its ready record; killed in the end."""
    process = bench.start("probe", *words, "--json")
    try:
        yield process, record(process, "ready")
    finally:
        process.kill()
        process.communicate()


def reflector(bench, *words):
    return started(bench, "reflect", "--address", "127.0.0.1", "--port", 0, *words)


@pytest.fixture(scope="module")
def mirror(bench):
    """The port of a reflector that answers whoever asks, as long as these tests run."""
    with reflector(bench) as (_, ready):
        yield ready["port"]


def ended(process, number=signal.SIGTERM):
    """A signal: exit code, seconds it took by its own doing, the last record."""
    began = time.monotonic()
    process.send_signal(number)
    took = took_to_end(process.pid, began)
    out, _ = process.communicate(timeout=20)
    return process.returncode, took, json.loads(out.splitlines()[-1])


def last(done):
    return json.loads(done.out.splitlines()[-1])


def quickly(port, *words):
    return ("127.0.0.1", "--port", port, "--count", 20, "--interval", "2ms", *words)


# ---- measured


def test_a_host_is_measured_and_both_ends_say_where_stamps_were_taken(bench):
    with reflector(bench) as (process, ready):
        assert ready["stateful"]
        done = bench.call("probe", *quickly(ready["port"], "--json"))
        code, _, theirs = ended(process, signal.SIGINT)
    assert (done.code, code) == (0, 130)
    first, end = (
        json.loads(line) for line in (done.out.splitlines()[0], done.out.splitlines()[-1])
    )
    assert first["event"] == "ready"
    assert first["kernel_stamps_granted"] is True
    assert end["complete"]
    assert (end["sent"], end["received"], end["lost"], end["loss"]) == (20, 20, 0, 0)
    for stamps in end["stamps"].values():
        assert stamps["kernel"] + stamps["userspace"] == 20
    assert theirs["stamps"]["t2"]["kernel"] + theirs["stamps"]["t2"]["userspace"] == 20
    assert theirs["stamps"]["t3"] == {"kernel": 0, "userspace": 20}
    assert (theirs["received"], theirs["reflected"], theirs["sessions"]) == (20, 20, 1)
    assert end["reflector"]["ssid_echoed"] == 20
    assert 0 < end["round_trip"]["p50"] <= end["round_trip"]["max"] < 2


@pytest.mark.parametrize(
    "options",
    [("--size", 1400), ("--timestamps", "ptp"), ("--poisson",), ("--rate", "500/s")],
    ids=str,
)
def test_every_form_of_a_packet_is_answered(bench, mirror, options):
    words = quickly(mirror, *options, "--json")
    if "--rate" in options:
        words = [word for word in words if word not in ("--interval", "2ms")]
    end = last(bench.call("probe", "send", *words))
    assert (end["received"], end["impossible"], end["ignored"]) == (20, 0, {})
    assert end["reflector"]["tlvs_flagged"] == {}
    assert end["reflector"]["short_answers"] == 0


def test_the_formats_of_both_ends_are_their_own(bench):
    with reflector(bench, "--timestamps", "ptp", "--stateless") as (_, ready):
        end = last(bench.call("probe", *quickly(ready["port"], "--json")))
    assert end["reflector"]["timestamps"] == "ptp"
    assert end["clock_offset"]["low"] <= 0 <= end["clock_offset"]["high"]  # one host: one clock


def test_a_seed_fixes_what_is_drawn(bench, mirror):
    runs = [
        json.loads(bench.call("probe", *quickly(mirror, "--seed", seed, "--json")).out
                   .splitlines()[0])["ssid"]
        for seed in (3, 3, 4)
    ]  # fmt: skip
    assert runs[0] == runs[1] != runs[2]


def test_with_a_key_only_those_who_have_it_are_answered(bench, tmp_path):
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(KEY + "\n")
    wrong.write_text(KEY[::-1])
    with reflector(bench, "--key-file", right) as (process, ready):
        words = quickly(ready["port"], "--wait", "100ms", "--json")
        done = bench.call("probe", *words, "--key-file", right, "--size", 300)
        assert (done.code, last(done)["received"]) == (0, 20)
        assert last(done)["reflector"]["tlvs_flagged"] == {}
        assert bench.call("probe", *words, "--key-file", wrong).code == 3
        assert bench.call("probe", *words).code == 3
        _, _, theirs = ended(process)
    assert theirs["discarded"] == {"not authentic": 20, "too short": 20}


def test_the_packets_are_kept_one_row_each(bench, kit, mirror, tmp_path):
    file = tmp_path / "packets.parquet"
    done = bench.call("probe", *quickly(mirror, "--parquet", file, "--json"))
    rows = pq.read_table(file).to_pylist()
    assert [row["sequence"] for row in rows] == [row["number"] for row in rows] == [*range(20)]
    assert [row["due_ns"] for row in rows] == [2_000_000 * n for n in range(20)]
    trips = [row["t4_ns"] - row["t1_ns"] - (row["t3_ns"] - row["t2_ns"]) for row in rows]
    assert max(trips) == round(last(done)["round_trip"]["max"] * 1e9)
    assert all(row["answers"] == 1 and row["ttl"] == row["reply_ttl"] == 64 for row in rows)
    assert list(tmp_path.iterdir()) == [file]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        words = quickly(deaf.getsockname()[1], "--wait", "10ms", "--parquet", file)
        assert bench.call("probe", *words).code == 3
    for row in pq.read_table(file).to_pylist():
        assert (row["answers"], row["t2_ns"], row["t4_ns"], row["number"]) == (0, None, None, None)
        assert row["t1_ns"] > 0
    kit.one_line(bench.call("probe", "::1", "--parquet", tmp_path / "no" / "file"), "--parquet")


def test_for_people_there_is_a_table_and_the_stamps(bench, mirror):
    done = bench.call("probe", *quickly(mirror))
    assert done.code == 0
    for words in ("round trip", "IPDV", "20 sent, 20 back, 0 lost", "stamps here", "p99.9"):
        assert words in done.out
    assert done.err == ""


def test_ipv6_is_measured_as_well(bench):
    with contextlib.closing(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"no IPv6 here: {error}")
    with started(bench, "reflect", "--port", 0) as (_, ready):
        assert "::" in ready["addresses"]
        words = ("--port", ready["port"], "--count", 20, "--interval", "2ms", "--json")
        end = last(bench.call("probe", "::1", *words))
    assert (end["received"], end["forward"]["ttl"], end["backward"]["ttl"]) == (20, [64], [64])
    assert end["stamps"]["t4"]["kernel"] + end["stamps"]["t4"]["userspace"] == 20


# ---- nothing, and the end


def test_no_answer_is_inconclusive_and_one_line(bench):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        for words in ((), ("--json",)):
            done = bench.call("probe", *quickly(port, "--wait", "100ms", *words))
            assert done.code == 3
            (line,) = done.err.splitlines()
            assert "no answer to 20 packets" in line
            assert "INCONCLUSIVE" in line
        assert last(done)["loss"] == 1.0
    done = bench.call("probe", *quickly(port, "--wait", "100ms"))
    assert done.code == 3
    assert "nobody listens" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_figures_so_far(bench, mirror, number):
    words = ("127.0.0.1", "--port", mirror, "--duration", "30min", "--interval", "5ms")
    with started(bench, *words) as (process, _):
        record(process, "progress")
        code, took, end = ended(process, number)
    assert code == 130
    assert took < 2
    assert (end["event"], end["complete"], end["reason"]) == ("end", False, "interrupted")
    assert end["sent"] >= end["received"] > 0
    assert end["sent"] == end["received"] + end["lost"] + end["in_flight"] - end["late"]
    assert any("interrupted" in note for note in end["notes"])


def test_a_signal_before_anything_came_back_is_no_finding(bench, mirror):
    words = ("127.0.0.1", "--port", mirror, "--interval", "1h", "--count", 3)
    for _ in range(3):
        with started(bench, *words) as (process, _):
            code, took, end = ended(process)
            assert (code, end["complete"], end["lost"]) == (130, False, 0)
            assert took < 2


def test_a_signal_ends_a_reflector_and_frees_its_port(bench):
    with reflector(bench) as (process, ready):
        code, took, end = ended(process)
        assert (code, end["event"]) == (130, "end")
        assert took < 2
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", ready["port"]))


def test_a_reflector_ends_after_its_time(bench):
    done = bench.call("probe", "reflect", "--port", 0, "--duration", "50ms", "--json")
    assert (done.code, last(done)["reason"]) == (0, "complete")


def test_a_reader_that_goes_away_is_no_unreachable_host(bench, mirror):
    words = ("127.0.0.1", "--port", mirror, "--duration", "1h")
    with started(bench, *words) as (process, _):
        process.stdout.close()
        assert process.wait(20) == 4
        assert "reached" not in process.stderr.read()
        process.stdout = None


# ---- bad input


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--count", 0), ("--count", "1 or more")),
        (("--count", 3, "--duration", "1s"), ("--duration",)),
        (("--rate", "5/s", "--interval", "1s"), ("--interval",)),
        (("--rate", "20000/s"), ("--rate", "10000")),
        (("--rate", "5"), ("--rate", "unit")),
        (("--interval", "1us"), ("--interval",)),
        (("--duration", "8d"), ("--duration",)),
        (("--count", 500_001, "--rate", "10000/s"), ("--count", "500000")),
        (("--size", 46), ("--size", "44, or 48")),
        (("--size", 70_000), ("--size", "65507")),
        (("--wait", "0s"), ("--wait",)),
        (("--seed", -1), ("--seed",)),
        (("--port", 0), ("--port", "862")),
        (("--reflector", "maybe"), ("--reflector", "stateless")),
        (("--timestamps", "iso"), ("--timestamps", "ntp or ptp")),
        (("--key-file", "/no/such/key"), ("/no/such/key",)),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_one_line(bench, kit, words, parts):
    kit.one_line(bench.call("probe", "127.0.0.1", *words), *parts)


def test_a_host_that_cannot_be_resolved_or_reached_is_one_line(bench, kit):
    kit.one_line(bench.call("probe", "no..such"), "no..such", "resolved")
    silent = "import bench.studies.probe as p, time; p._RESOLVE_S = 0.1;"
    silent += "p.socket.getaddrinfo = lambda *a, **k: time.sleep(60)"
    kit.one_line(bench.call("probe", "slow.example", setup=silent, within=20), "no answer within")
    kit.one_line(bench.call("probe", "255.255.255.255"), "reached")


def test_a_port_or_address_that_cannot_be_had_is_one_line(bench, kit, mirror):
    words = ("reflect", "--address", "127.0.0.1", "--port", mirror)
    kit.one_line(bench.call("probe", *words), "--port", "is taken")
    kit.one_line(bench.call("probe", "reflect", "--address", "192.0.2.1"), "192.0.2.1")
    kit.one_line(bench.call("probe", "reflect", "--address", "name.example"), "name.example")
    refused = (
        "import bench.studies.probe as p\n"
        "def no(*a): raise PermissionError(13, 'Permission denied')\n"
        "p.ReflectorSockets = no"
    )
    kit.one_line(bench.call("probe", "reflect", setup=refused), "862", "root")


@pytest.mark.parametrize("text", ["", "xyz", "0011", "ü"])
def test_a_key_that_is_none_is_one_line(bench, kit, tmp_path, text):
    file = tmp_path / "key"
    file.write_text(text)
    words = ("127.0.0.1", "--key-file", file)
    assert text == "" or text not in kit.one_line(bench.call("probe", *words), str(file), "key")


# ---- documentation


def test_the_documentation_names_every_key_of_the_last_record(bench):
    text = (ROOT / "docs" / "probe.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    with reflector(bench) as (process, ready):
        end = last(bench.call("probe", *quickly(ready["port"], "--json")))
        _, _, theirs = ended(process)
    assert set(end) - named == set()
    assert set(theirs) - named == set()
    assert {*end["forward"], *end["reflector"], *end["stamps"]} - named == set()


# ---- through a network that is known


def in_namespace_of(pid):
    """For preexec_fn: enter the network namespace of a process."""

    def enter():
        with open(f"/proc/{pid}/ns/net") as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0x40000000):
                raise OSError(ctypes.get_errno(), "setns")

    return enter


SETTLE = """
import fcntl, socket, struct, sys
from pyroute2 import IPRoute
name, address = sys.argv[1:]
with IPRoute() as route:
    index = route.link_lookup(ifname=name)[0]
    route.addr("add", index=index, address=address, prefixlen=24)
    route.link("set", index=index, state="up")
import ctypes
off = ctypes.create_string_buffer(struct.pack("II", 0x17, 0))  # ETHTOOL_STXCSUM: finish checksums
with socket.socket() as sock:
    request = struct.pack("16sP", name.encode(), ctypes.addressof(off))
    fcntl.ioctl(sock, 0x8946, request)
"""


def measure_across(script, env, place):
    """Two hosts, each in a namespace, and the emulator between: (sender's end, exit code)."""
    from pyroute2 import IPRoute

    libc = ctypes.CDLL(None, use_errno=True)
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: libc.unshare(0x40000000),
        )
        for _ in range(2)
    ]
    processes = list(hosts)
    try:
        with IPRoute() as route:
            for host, (end, peer) in zip(hosts, (("pa", "fa"), ("pb", "fb")), strict=True):
                host.stdout.readline()
                route.link("add", ifname=end, kind="veth", peer={"ifname": peer})
                index = route.link_lookup(ifname=end)[0]
                route.link("set", index=index, net_ns_pid=host.pid)
        for host, name, address in zip(
            hosts, ("pa", "pb"), ("10.77.0.1", "10.77.0.2"), strict=True
        ):
            subprocess.run(
                [sys.executable, "-c", SETTLE, name, address],
                check=True, preexec_fn=in_namespace_of(host.pid), timeout=30,
            )  # fmt: skip

        def start(*words, preexec_fn=None):
            process = subprocess.Popen(
                [script, *map(str, words), "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                preexec_fn=preexec_fn,
            )  # fmt: skip
            processes.append(process)
            return process

        emulator = start(
            "emulate", "--left", "fa", "--right", "fb", "--delay", "20ms", "--backend", "userspace"
        )
        mirror = start("probe", "reflect", preexec_fn=in_namespace_of(hosts[1].pid))
        record(emulator, "ready")
        record(mirror, "ready")
        sender = start(
            "probe", "10.77.0.2", "--count", 50, "--interval", "10ms", "--wait", "10s",
            preexec_fn=in_namespace_of(hosts[0].pid),
        )  # fmt: skip
        end = record(sender, "end", within=60)
        sender.wait(20)
        emulator.send_signal(signal.SIGINT)
        emulated = record(emulator, "end")
        return end, sender.returncode, emulated
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_delay_that_is_known_is_measured_through_the_emulator(kit, tmp_path):
    isolation = load(
        "telemed_bench_probe_isolation", ROOT / "tests" / "instruments" / "conftest.py"
    )
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    env = kit.environment() | {"TELEMED_BENCH_STATE": str(state)}
    end, code, emulated = isolation.run_isolated(
        lambda: measure_across(str(kit.SCRIPT), env, tmp_path), within_s=120
    )
    assert code == 0
    assert end["sent"] == 50
    assert emulated["left-to-right"]["emulator_drops"] == 0
    assert end["received"] == 50, (end, emulated)
    assert end["round_trip"]["min"] >= 0.04
    # One host, one clock: here the one-way delays are what they are called.
    for way in ("forward", "backward"):
        assert end[way]["delay_with_clock_offset"]["min"] >= 0.02
    assert end["stamps"]["t1"]["kernel"] == end["stamps"]["t4"]["kernel"] == 50


# ---- with the implementations of others, where they are installed


def test_nokias_twampy_sends_to_our_reflector(bench):
    peer = peer_program("twampy")
    with reflector(bench) as (process, ready):
        words = ("sender", "--padding", "30", "-i", "100", "-c", "5")
        done = subprocess.run(
            [peer, *words, f"127.0.0.1:{ready['port']}", "127.0.0.1:0"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        _, _, theirs = ended(process)
    assert done.returncode == 0, done.stderr
    assert "0.0%" in done.stdout
    assert theirs["reflected"] == 5


def test_we_send_to_nokias_twampy(bench):
    peer = peer_program("twampy")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    process = subprocess.Popen([peer, "responder", "--padding", "6", f"127.0.0.1:{port}"])
    try:
        words = ("--count", 40, "--interval", "50ms", "--json")
        end = last(bench.call("probe", "127.0.0.1", "--port", port, *words))
    finally:
        process.kill()
        process.wait()
    assert end["received"] > 0
    assert end["ignored"] == {}
    assert end["impossible"] == 0


def peer_program(name):
    """Another implementation, or a skip that says what was not shown."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: interoperation with it is not shown here")
    return found
