"""A query behind a command goes out at once: it does not wait for an acknowledgement."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
import pyvisa
from pyvisa.constants import ResourceAttribute
from pyvisa_py.tcpip import TCPIPSocketSession

from instruments.visa.wires import VisaWire, connect
from tests.support.scripted import Peer, Script, resource, session


def sends_at_once(wire: VisaWire) -> bool:
    sock = wire._socket()
    assert sock is not None
    return bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def test_pyvisa_py_leaves_the_delay_on_and_refuses_the_attribute() -> None:
    """Should this fail after an update, the library does it itself: docs/instruments.md."""
    with Peer(Script()) as peer:
        opened = pyvisa.ResourceManager("@py").open_resource(peer.address)
        assert not opened.get_visa_attribute(ResourceAttribute.tcpip_nodelay)
        with pytest.raises(Exception, match="NODELAY"):
            opened.set_visa_attribute(ResourceAttribute.tcpip_nodelay, True)
        opened.close()


def test_a_session_switches_the_delay_off() -> None:
    with Peer(Script()) as peer:
        wire = connect(resource(peer))
        assert isinstance(wire, VisaWire)
        assert sends_at_once(wire)
        wire.close()


def test_where_the_library_takes_the_attribute_it_is_the_library_that_does_it(monkeypatch) -> None:
    monkeypatch.setattr(TCPIPSocketSession, "_set_attribute", TCPIPSocketSession._set_tcpip_nodelay)
    with Peer(Script()) as peer, monkeypatch.context() as patch:
        patch.setattr(VisaWire, "_socket", lambda wire: pytest.fail("reached beneath it"))
        wire = connect(resource(peer))
        patch.undo()
        monkeypatch.undo()
        assert isinstance(wire, VisaWire)
        assert sends_at_once(wire)
        wire.close()


def test_a_library_that_refuses_and_shows_no_socket_is_used_as_it_is(monkeypatch) -> None:
    monkeypatch.setattr(VisaWire, "_below", lambda wire: None)
    with Peer(Script()) as peer:
        wire = connect(resource(peer))
        wire.send(b"*IDN?\n")
        assert wire.receive(5.0).startswith(b"Acme")
        wire.close()


def test_a_setting_takes_the_time_of_some_queries(tmp_path) -> None:
    """Linux delays an acknowledgement by 40 ms: a hundred queries on loopback, and never fewer."""
    script = Script(state={"FREQ": "1"})
    with Peer(script) as peer, session(peer, tmp_path) as live:

        def quickest(ask: Callable[[int], object]) -> float:
            times = []
            for n in range(30):
                begun = time.perf_counter()
                ask(n)
                times.append(time.perf_counter() - begun)
            return min(times)

        def set_and_read_back(n: int) -> None:
            with live.step("frequency"):
                live.command(f"FREQ {n}")
                live.confirm("FREQ?", lambda got: "" if got == str(n) else "differs", str(n))

        query = quickest(lambda n: live.query("FREQ?"))
        assert quickest(set_and_read_back) < 20 * query
