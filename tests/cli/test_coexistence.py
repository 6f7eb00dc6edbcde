"""``bench run coexistence`` as a user sees it: the simulated laboratory, over its sockets."""

from __future__ import annotations

import json

import pytest

from bench.benches.lab.file import SHIPPED
from bench.devices import registry

KEPT = ("control", "haptic-command", "force-feedback")
PLAN = """
title = "One signal"
environment = "a test"
method = "conducted"
exposed = "2.2s"
confidence = "80%"
[standard]
name = "ANSI C63.27"
edition = "2021"
clause = "-"
[tier]
name = "-"
source = "-"
risk = "-"
[[signals]]
name = "lte20"
offsets = ["0Hz"]
lowest = "-12dB"
highest = "12dB"
step = "6dB"
[[surroundings]]
signal = "lte20"
offset = "0Hz"
present = "50%"
mean = "-80dBm"
deviation = "4dB"
"""


def light_robot(folder):
    """The robot with few streams and one declared signal, as a file."""
    text = (
        registry.resources.files("bench.devices") / "data/tele-ultrasound-robot.toml"
    ).read_text()
    head, *streams = text.split("[[streams]]")
    kept = [one for one in streams if any(f'name = "{name}"' in one for name in KEPT)]
    assert len(kept) == len(KEPT)
    head, signal, *_, rest = head.split("[[coexistence.environment]]")
    rest = rest[rest.index("# A simulated device has no reports") :]
    head = "[[coexistence.environment]]".join([head, signal]) + rest
    path = folder / "robot.toml"
    path.write_text("[[streams]]".join([head, *kept]))
    return path


def test_it_exposes_searches_judges_and_reports(bench, tmp_path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN)
    done = bench.call(
        "run", "coexistence", "--device", str(light_robot(tmp_path)), "--coexistence", str(plan),
        "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert {v["requirement"]: v["verdict"] for v in done.verdicts} == {
        "COEX-1": "PASS", "MON-2": "PASS", "SW-1": "PASS",
    }  # fmt: skip
    assert done.identity["laboratory"]["simulated"] == [
        "analyser", "attenuator", "fading", "generator", "modem", "neighbour", "serving", "supply",
    ]  # fmt: skip
    found = done.identity["coexistence"]
    (column,) = found["columns"]
    assert (column["boundary"]["kept"], column["boundary"]["fails"]) == (3, 4)
    assert all("FSW" in point["verified_by"] for point in column["points"])
    assert 0 < found["likelihood"]["low"] <= found["likelihood"]["value"] <= 1
    told = [json.loads(line) for line in done.out.splitlines()]
    said = [one["text"] for one in told if one["event"] == "note"]
    assert any("5 levels are too few to save 40 %" in text for text in said)
    assert any("I/U" in text and "kept" in text for text in said)
    assert any("I/U" in text and "lost" in text for text in said)
    again = bench.call("judge", str(done.run), "--json")
    assert again.code == 0, again.err
    assert bench.call("verify", str(done.run)).code == 0


def test_what_it_refuses(bench, tmp_path) -> None:
    done = bench.call(
        "run", "coexistence", "--device", "tele-ultrasound-robot", "--bench", "virtual",
        "--coexistence", str(tmp_path / "none.toml"),
    )  # fmt: skip
    assert done.code == 2
    assert "none.toml: no such file" in done.err


@pytest.mark.parametrize("how", [(), ("--bench", "LAB")])
def test_a_plan_of_another_method_than_the_laboratorys_is_refused_before_the_first_session(
    bench, kit, tmp_path, how
) -> None:
    for file in SHIPPED.parent.glob("simulated-lab*.toml"):
        (tmp_path / file.name).write_text(file.read_text())
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.replace('"conducted"', '"open"'))
    done = bench.call(
        "run", "coexistence", "--device", "tele-ultrasound-robot", "--coexistence", str(plan),
        *(word.replace("LAB", str(tmp_path / SHIPPED.name)) for word in how),
    )  # fmt: skip
    kit.one_line(done, "plan.toml: method = 'open'", "its bench file says conducted")
    assert not done.runs
