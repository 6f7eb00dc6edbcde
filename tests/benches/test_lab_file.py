"""The lab bench file: interfaces by name or MAC, and what it says where that does not work."""

from __future__ import annotations

import pytest

from bench.benches.lab_file import find_lab_link, load_lab_links
from bench.errors import InputError
from instruments.emulators.rtnetlink import Link


def link(name, mac, kind=""):
    return Link(1, name, mac, kind, name == "lo", None, None)


PRESENT = (
    link("lo", "00:00:00:00:00:00"),
    link("eth1", "00:1b:21:aa:bb:cc"),
    link("eth1.5", "00:1b:21:aa:bb:cc", "vlan"),
    link("eth2", "00:1b:21:aa:bb:dd"),
)

WHOLE = """
title = "Left rack"

[links.primary]
left = { mac = "00-1B-21-AA-BB-CC" }
right = { name = "eth2" }

[links.standby]
left = { name = "eth3" }
right = { mac = "00:00:00:00:00:99" }
"""


def written(tmp_path, text):
    path = tmp_path / "bench.toml"
    path.write_text(text)
    return path


def test_interfaces_are_found_by_mac_and_by_name(tmp_path):
    path = written(tmp_path, WHOLE)
    assert list(load_lab_links(path)) == ["primary", "standby"]
    name, primary = find_lab_link(path, None)
    assert (name, primary.ifnames(PRESENT)) == ("primary", ("eth1", "eth2"))


OVER_RADIO = WHOLE.replace(
    'right = { name = "eth2" }\n',
    'right = { name = "eth2" }\nradio = { left = { name = "eth5" }, right = { name = "eth6" } }\n',
)


def test_a_radio_hop_between_has_interfaces_of_its_own(tmp_path):
    path = written(tmp_path, OVER_RADIO)
    links = load_lab_links(path)
    present = (*PRESENT, *(link(f"eth{n}", f"00:1b:21:aa:bb:0{n}") for n in (5, 6)))
    assert links["primary"].ifnames(present) == ("eth1", "eth2")
    assert links["primary"].radio_ifnames(present) == ("eth5", "eth6")
    assert links["standby"].radio_ifnames(present) == ()
    with pytest.raises(InputError, match=r"links.primary.radio.left.name = 'eth5': is no interf"):
        links["primary"].radio_ifnames(PRESENT)
    with pytest.raises(InputError, match=r"links.primary.radio = 'primary': has a radio hop"):
        find_lab_link(path, "primary")  # bench emulate would join it around the radio
    find_lab_link(path, "standby")


def test_what_is_not_there_is_said_with_what_is(tmp_path):
    path = written(tmp_path, WHOLE)
    _, standby = find_lab_link(path, "standby")
    with pytest.raises(InputError) as caught:
        standby.ifnames(PRESENT)
    line = caught.value.line()
    assert line.startswith(f"{path}: links.standby.left.name = 'eth3': is no interface")
    assert "eth2 (00:1b:21:aa:bb:dd)" in line
    with pytest.raises(InputError, match=r"links.standby.right.mac"):
        standby.ifnames((*PRESENT, link("eth3", "00:1b:21:aa:bb:ee")))
    with pytest.raises(InputError, match=r"more than one interface: eth1, eth4"):
        find_lab_link(path, None)[1].ifnames((*PRESENT, link("eth4", "00:1b:21:aa:bb:cc")))
    with pytest.raises(InputError, match=r"links = 'third'.*primary, standby"):
        find_lab_link(path, "third")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("links", "is missing")),
        ("[links]", ("links", "holds no link")),
        ("[links.a]\nleft = {name = 'x'}", ("links.a.right", "is missing")),
        ("[links.a]\nleft = 'x'\nright = 'y'", ("links.a.left", 'left = { name = "eth1" }')),
        (
            "[links.a]\nleft = {name = 'x', mac = '1'}\nright = {name = 'y'}",
            ("links.a.left", "either a name or a mac"),
        ),
        (
            "[links.a]\nleft = {mac = '1'}\nright = {name = 'y'}",
            ("links.a.left.mac = '1'", "00:1b:21:aa:bb:cc"),
        ),
        (
            "[links.a]\nleft = {name = 'x'}\nright = {name = 'y'}\nradio = {left = {name = 'z'}}",
            ("links.a.radio.right", "is missing"),
        ),
        ("[linsk.a]", ("linsk", "did you mean links?")),
    ],
)
def test_a_broken_file_is_said_in_one_line(tmp_path, text, parts):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_lab_links(path)
    line = caught.value.line()
    assert line.startswith(str(path))
    for part in parts:
        assert part in line
