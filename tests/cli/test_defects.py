"""Each seeded defect turns its own verdict to FAIL, and no other.

Some of them, by the command; tests/judge/test_defects.py takes them all, without it.
"""

from __future__ import annotations

import pytest

HAULS = {
    "urumqi-shanghai", "beijing-shanghai", "excess-delay-200ms-to-patient", "excess-delay-1s",
}  # fmt: skip
OUTAGES = {"primary-outage", "radio-link-failure", "primary-stall", "primary-flap"}


@pytest.mark.parametrize(
    ("defect", "judged", "broken"),
    [
        # Delay and loss alarms still sound, and a failing radio link raises one of them.
        ("silent-outage", ["MON-2"], {"MON-2": {"primary-outage", "primary-flap", "blackout"}}),
        (
            "never-switches",
            ["SW-1", "LOC-1"],
            {"SW-1": OUTAGES},
        ),
        ("stale-commands", ["FAIL-1", "LOC-1"], {"FAIL-1": HAULS}),
        ("ignores-local-stop", ["LOC-1", "LIM-2"], {"LOC-1": {""}}),
    ],
)
def test_a_defect_is_caught(bench, defect, judged, broken):
    done = bench.run("--defect", defect, *(f"--only={requirement}" for requirement in judged))
    assert done.code == 1, done.err
    outcomes = done.outcomes()
    assert {requirement for requirement, _ in outcomes} == set(judged)
    expected = {key: "FAIL" if key[1] in broken.get(key[0], ()) else "PASS" for key in outcomes}
    assert outcomes == expected
    assert {r: {s for q, s in outcomes if q == r} & broken[r] for r in broken} == broken
    assert done.identity["defects"].keys() == {defect}
    assert "FAIL" in done.out
    assert bench.call("verify", done.run).code == 0
    assert bench.call("judge", done.run).code == 1
