"""Another VISA library than pyvisa-py, by configuration: a stand-in, as a vendor's would be found.

It is a backend package of its own (``pyvisa_standin``), that PyVISA finds as it finds any. What it
shows outwards is VISA's functions alone: nothing of the pyvisa-py beneath can be reached.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest
from pyvisa import highlevel

from bench.benches.lab.file import load_bench_file
from bench.benches.lab.laboratory import Laboratory
from bench.network.radio.exposure import Exposure
from instruments.visa.errors import DeadlinePassed, Unreachable
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript
from instruments.visa.wires import VisaWire, connect
from tests.support.bench_files import served
from tests.support.scripted import Peer, Script, resource, session

STANDIN = """
from pyvisa import constants, highlevel
from pyvisa.util import LibraryPath
from pyvisa_py.highlevel import PyVisaLibrary

opened, called = [], []

class StandIn(highlevel.VisaLibraryBase):
    @staticmethod
    def get_library_paths():
        return (LibraryPath("standin", "a test"),)

    def _init(self):
        self.__work = PyVisaLibrary()

    def open(self, session, name, *args):
        opened.append((str(self.library_path), name))
        return self.__work.open(session, name, *args)

    def set_attribute(self, session, attribute, state):
        called.append("set_attribute")
        if attribute == constants.ResourceAttribute.tcpip_nodelay:
            return constants.StatusCode.success
        return self.__work.set_attribute(session, attribute, state)

def passed_on(name):
    def call(self, *args):
        called.append(name)
        return getattr(self._StandIn__work, name)(*args)
    return call

for name in (
    "open_default_resource_manager", "close", "read", "write", "get_attribute", "clear",
    "list_resources", "enable_event", "disable_event", "discard_events", "flush",
):
    setattr(StandIn, name, passed_on(name))

WRAPPER_CLASS = StandIn
"""


@pytest.fixture
def standin(tmp_path, monkeypatch) -> ModuleType:
    package = tmp_path / "pyvisa_standin"
    package.mkdir()
    (package / "__init__.py").write_text(STANDIN)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("pyvisa_standin")
    yield module
    sys.modules.pop("pyvisa_standin")
    highlevel._WRAPPERS.pop("standin", None)


def canonical(address) -> str:
    """As PyVISA hands a resource's name to a library."""
    return address.replace("TCPIP::", "TCPIP0::")


def test_a_session_goes_through_the_configured_library(standin, tmp_path) -> None:
    with Peer(Script(state={"POW": "-10"})) as peer:
        where = resource(peer, library="libvendor.so@standin")
        with Session(where, Transcript(), lock_folder=tmp_path) as live:
            assert live.query("POW?") == "-10"
            live.command("POW -20")
            assert live.query("POW?") == "-20"
        assert standin.opened == [("libvendor.so", canonical(peer.address))]
        assert {"write", "read", "close"} <= set(standin.called)
        with session(peer, tmp_path) as live:  # the default is another library
            assert live.query("POW?") == "-20"
        assert len(standin.opened) == 1


def test_a_timeout_is_one_through_another_library_too(standin, tmp_path) -> None:
    with (
        Peer(Script(state={"POW": "-10"})) as peer,
        Session(
            resource(peer, library="@standin", reply_s=0.2), Transcript(), lock_folder=tmp_path
        ) as live,
    ):
        with pytest.raises(DeadlinePassed):
            live.query("SILENT?")
        assert live.query("POW?") == "-10"
        assert len(standin.opened) == 2  # opened anew


def test_nothing_beneath_the_library_is_reached(standin) -> None:
    with Peer(Script()) as peer:
        wire = connect(resource(peer, library="@standin"))
        assert isinstance(wire, VisaWire)
        assert wire._socket() is None
        assert wire.stray() == b""
        wire.close()


def test_a_laboratory_with_instruments_of_two_libraries(standin, tmp_path) -> None:
    kind = 'kind = "rohde-schwarz-smw"'
    with served(tmp_path, (kind, f'{kind}\nlibrary = "libvendor.so@standin"')) as (path, _):
        file = load_bench_file(path)
        with Laboratory(file, Transcript(), lock_folder=tmp_path) as lab:
            assert lab.expose(Exposure("lte20", 3.5e9, -78.0, 18e6)).simulated == ()
            assert lab.holds() == ""
    address = file.instruments["generator"].resource.address
    assert standin.opened == [("libvendor.so", canonical(address))]


def test_a_library_that_cannot_be_loaded_is_named(standin, tmp_path, monkeypatch) -> None:
    def refuse(library) -> None:
        raise OSError("libvendor.so: cannot open shared object file")

    monkeypatch.setattr(standin.StandIn, "_init", refuse)
    with (
        Peer(Script()) as peer,
        pytest.raises(Unreachable, match=r"libvendor\.so: cannot open"),
        Session(resource(peer, library="libvendor.so@standin"), Transcript(), lock_folder=tmp_path),
    ):
        pytest.fail("opened")
