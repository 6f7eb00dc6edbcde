"""Custody of interfaces: what is refused, and that all is as before when it ends."""

from __future__ import annotations

import ctypes
import importlib.util
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from bench.errors import InputError
from instruments.emulators import settings
from instruments.emulators.base import EmulatorError
from instruments.emulators.custody import Custody
from instruments.emulators.refusals import _address, below, find_links
from instruments.emulators.rtnetlink import Link

_FILE = Path(__file__).parents[1] / "support" / "ends.py"
_SPEC = importlib.util.spec_from_file_location("ends", _FILE)
ends = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ends)
ENDS, pairs, states, settled, changed = (
    ends.ENDS, ends.pairs, ends.states, ends.settled, ends.changed,
)  # fmt: skip
ip, state = ends.ip, ends.state


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "state"
    place.mkdir(mode=0o700)
    return place


def test_the_ends_are_made_ready_and_given_back_as_found(isolated, folder):
    def check():
        pairs(ipv6="0")
        ip("link set dev fb gso_max_size 65536")
        settings.set_features("fa", {"rx-gro": True, "tx-udp-segmentation": False})
        deadline = time.monotonic() + 10
        while not state("fa")[5]:  # its link-local address
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before = states()
        assert before[0] != before[1]
        with Custody(ENDS, folder=folder) as custody:
            assert changed()
            assert len(list(folder.iterdir())) == 2
            assert custody.without_carrier() == ()
            assert custody.notes == []
        return settled(before, folder)

    assert isolated(check) == ([], [])


def test_an_interface_with_addresses_keeps_them_and_stays_usable(isolated, folder):
    def check():
        pairs(ipv6="0")
        ip("addr add 10.1.0.1/24 dev fa")
        ip("addr add fd00::1/64 dev fa nodad")
        before = states()
        with Custody(ENDS, folder=folder) as custody:
            now = state("fa")
            assert now[5] == before[0][5]
            assert not now[1] & settings.NO_ARP
            assert now[3] == "0"
            assert settings.batching(settings.features("fa")) == ()
            (note,) = custody.notes
        return note, settled(before, folder)

    note, left = isolated(check)
    assert note.startswith("fa has addresses")
    assert left == ([], [])


def test_an_exception_gives_all_back(isolated, folder):
    def check():
        pairs()
        before = states()
        with pytest.raises(ZeroDivisionError), Custody(ENDS, folder=folder):
            changed() and 1 / 0
        return settled(before, folder)

    assert isolated(check) == ([], [])


def test_a_failure_on_the_way_gives_all_back(isolated, folder, monkeypatch):
    def check():
        pairs()
        before = states()
        real = settings.set_flags

        def fail(name, on=0, off=0):
            if name == "fb" and on:
                raise OSError(5, "Input/output error")
            real(name, on, off)

        monkeypatch.setattr(settings, "set_flags", fail)
        with pytest.raises(EmulatorError, match="Input/output error"):
            Custody(ENDS, folder=folder).__enter__()
        monkeypatch.setattr(settings, "set_flags", real)
        return settled(before, folder)

    assert isolated(check) == ([], [])


def test_what_the_emulator_left_on_the_ends_is_taken_away(isolated, folder):
    def check():
        pairs()
        before = states()
        with Custody(ENDS, folder=folder, kernel=True):
            ends.leave_behind()
        return settled(before, folder)

    assert isolated(check) == ([], [])


def test_in_use_is_refused_and_force_gives_back_what_the_first_had_found(isolated, folder):
    def check():
        pairs()
        before = states()
        first = Custody(ENDS, folder=folder)
        with first:
            with pytest.raises(InputError, match="in use by process") as refused:
                Custody(ENDS, folder=folder).__enter__()
            assert changed()
            second = Custody(ENDS, folder=folder, force=ENDS)
            second.__enter__()
        second.__exit__(None, None, None)
        return str(refused.value), settled(before, folder)

    text, left = isolated(check)
    assert "--force fa" in text
    assert left == ([], [])


def test_what_the_host_needs_is_refused(isolated, folder):
    def check():
        pairs(ipv6="0")
        ip("addr add 10.1.0.1/24 dev fa")
        ip("route add default via 10.1.0.2")
        said = {"IPv4": refused()}
        ip("route del default")
        ip("addr add fd00::1/64 dev fa nodad")
        ip("-6 route add default via fd00::2 table 77")
        said["IPv6, another table"] = refused()
        ip("-6 route del default table 77")
        find_links(ENDS)
        ip("link add link fa name fa.5 type macvlan")
        ip("link set dev fa.5 up")
        ip("route add default dev fa.5")
        said["another on it"] = refused()
        assert [link.name for link in find_links(ENDS, force=("fa",))] == ["fa", "fb"]
        ip("link del fa.5")
        ip("link set dev lo up")
        ip("link add name br type bridge")
        ip("link set dev fa master br")
        said["port"] = refused()
        ip("link set dev fa nomaster")
        ip("route add default nexthop via 10.1.0.2 nexthop via 10.1.0.3")
        said["multipath"] = refused()
        return said

    said = isolated(check)
    for case in ("IPv4", "IPv6, another table", "another on it", "multipath"):
        assert "'fa': carries the default route" in said[case], case
        assert said[case].endswith("--force fa")
    assert "is a port of br" in said["port"]


def refused(names=ENDS, **words):
    with pytest.raises(InputError) as caught:
        find_links(names, **words)
    return str(caught.value)


def test_an_ssh_session_is_refused(isolated, monkeypatch):
    def check():
        pairs()
        ip("link set dev lo up")
        ip("addr add 10.1.0.1/24 dev fa")
        find_links(ENDS)
        place = ("10.1.0.1", 22)
        with socket.create_server(place), socket.create_connection(place):
            established = refused()
        monkeypatch.setenv("SSH_CONNECTION", "10.1.0.9 5000 10.1.0.1 2222")
        return established, refused()

    for text in isolated(check):
        assert "'fa': carries an SSH session" in text


def test_names_that_cannot_be_meant(isolated):
    def check():
        pairs()
        return [
            refused(("fa", "nosuch")),
            refused(("fa", "fa")),
            refused(("fa", "pa")),
            refused(("fa", "lo")),
            refused(ENDS, force=("pa",)),
        ]

    texts = isolated(check)
    words = ("there is:", "named twice", "two ends of one veth", "loopback", "not used")
    for text, word in zip(texts, words, strict=True):
        assert word in text


def test_a_qdisc_of_somebodys_own_is_refused_to_netem_only(isolated, folder):
    def check():
        pairs()
        words = "tc qdisc add dev fb root handle 7: pfifo"
        subprocess.run(words.split(), check=True, capture_output=True)
        before = states()
        with pytest.raises(InputError, match="pfifo 7:"):
            Custody(ENDS, folder=folder, kernel=True).__enter__()
        ip("link set dev fa mtu 1400")
        with Custody(ENDS, folder=folder) as custody:
            notes = custody.notes
        return notes, settled(before, folder)

    (mtus, qdisc), left = isolated(check)
    assert left == ([], [])
    assert "different MTUs (1400, 1500)" in mtus
    assert "fb has a queueing discipline of its own (pfifo 7:)" in qdisc


def test_without_privileges_the_remedy_is_named(isolated, folder):
    def check():
        pairs()
        before = states()
        libc = ctypes.CDLL(None, use_errno=True)
        header = struct.pack("Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
        assert libc.capset(header, bytes(24)) == 0
        with pytest.raises(InputError, match="sudo"):
            Custody(ENDS, folder=folder).__enter__()
        return states() == before, list(folder.iterdir())

    assert isolated(check) == (True, [])


def test_below_follows_ports_and_vlans_but_not_a_veth():
    def link(index, master=None, under=None, kind=""):
        return Link(index, f"i{index}", "", kind, False, master, under)

    every = (
        link(1, master=2),
        link(2, kind="bridge"),
        link(3, under=2, kind="vlan"),
        link(4, under=5, kind="veth"),
        link(5, under=4, kind="veth"),
    )
    assert below({3}, every) == {1, 2, 3}
    assert below({4}, every) == {4}


def test_addresses_out_of_proc_net():
    assert _address("0100007F") == "127.0.0.1"
    assert _address("0000000000000000FFFF00000100007F") == "127.0.0.1"
    assert _address("B80D01200000000067452301EFCDAB89") == "2001:db8::123:4567:89ab:cdef"
