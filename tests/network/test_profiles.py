"""Link profiles: the documented figures, and each mistake in a profile file named."""

from __future__ import annotations

import pytest

from bench.errors import InputError
from bench.network.impairment import CLEAN, Delay
from bench.network.profiles import find_profile, load_profiles

PROFILES = load_profiles()


def test_names():
    assert set(PROFILES) == {
        "null",
        "5g-short-haul-slice",
        "5g-standby-slice",
        "urumqi-shanghai-5g",
        "beijing-shanghai-5g",
        "bluetooth",
        "wifi",
        "4g",
        "4g-cell",
        "wifi-near",
        "5g-gateway",
        "wired-lan",
        "site-laboratory",
        "site-first-deployment",
        "site-maintenance",
        "site-rural",
        "site-first-year",
        "site-third-year",
        "site-slice",
        "site-slice-first-year",
        "site-slice-third-year",
    }


def test_null_does_nothing():
    assert PROFILES["null"].to_patient == PROFILES["null"].to_doctor == CLEAN


@pytest.mark.parametrize(
    ("name", "delay", "rate_bps"),
    [
        ("5g-short-haul-slice", Delay(0.0025, "uniform", 0.0003), 1e9),
        ("5g-standby-slice", Delay(0.004, "uniform", 0.0004), 300e6),
    ],
)
def test_slices_lie_inside_the_documented_ranges(name, delay, rate_bps):
    profile = PROFILES[name]
    assert profile.to_patient == profile.to_doctor
    state = profile.to_patient
    assert (state.delay, state.rate_bps, state.loss) == (delay, rate_bps, None)
    assert state.delay.mean_s - state.delay.spread_s >= 1e-3
    assert state.delay.mean_s + state.delay.spread_s <= 10e-3
    assert 100e6 <= rate_bps <= 1e9


@pytest.mark.parametrize(
    ("name", "low_s", "high_s", "low_bps", "high_bps"),
    [
        ("bluetooth", 0.1, 0.2, 20e6, 20e6),
        ("wifi", 0.03, 1.0, 400e6, 400e6),
        ("4g", 0.02, 0.1, 10e6, 100e6),
    ],
)
def test_technologies_fill_the_ranges_of_table_7(name, low_s, high_s, low_bps, high_bps):
    profile = PROFILES[name]
    assert profile.to_patient == profile.to_doctor
    delay = profile.to_patient.delay
    assert low_s * (1 - 1e-9) <= delay.least_s <= low_s * 1.01
    assert high_s * 0.99 <= delay.most_s <= high_s * (1 + 1e-9)
    assert low_bps <= profile.to_patient.rate_bps <= high_bps
    assert profile.figures["air_delay_min_s"] == low_s
    assert profile.figures["air_delay_max_s"] == high_s
    assert profile.figures["rate_max_bps"] == high_bps
    assert profile.figures.get("rate_min_bps", low_bps) == low_bps
    assert "table 7" in profile.source


@pytest.mark.parametrize(
    ("name", "mean_s", "min_s", "max_s", "loss"),
    [
        ("urumqi-shanghai-5g", 0.10666, 0.08794, 1.92712, 0.008256),
        ("beijing-shanghai-5g", 0.06043, 0.04061, 0.37777, 0.000550),
    ],
)
def test_measured_networks(name, mean_s, min_s, max_s, loss):
    profile = PROFILES[name]
    assert dict(profile.figures) == pytest.approx(
        {
            "rtt_mean_s": mean_s,
            "rtt_min_s": min_s,
            "rtt_max_s": max_s,
            "loss": loss,
            "recovery_s": 10.0,
        }
    )
    for state in (profile.to_patient, profile.to_doctor):
        assert state.delay.mean_s == pytest.approx(mean_s / 2)
        assert state.loss.ratio == pytest.approx(loss)
    assert profile.synthetic.startswith("synthetic, matched to mean/min/max")


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_says_what_is_synthetic(name):
    profile = PROFILES[name]
    assert profile.name == name
    assert profile.title
    assert profile.source
    assert profile.synthetic.startswith("synthetic")


HEAD = '[profiles.p]\ntitle = "t"\nsource = "s"\nsynthetic = "synthetic: x"\n'
BOTH = "[profiles.p.both]\n"

BROKEN = {
    "unknown key": (HEAD + BOTH + 'latency = "1ms"\n', "profiles.p.both.latency", "unknown key"),
    "unknown section": ('[profile.p]\ntitle = "t"\n', "profile", "did you mean profiles"),
    "missing title": (HEAD.replace('title = "t"\n', "") + BOTH, "profiles.p.title", "is missing"),
    "no direction": (HEAD, "profiles.p.both", "to-patient and to-doctor"),
    "one direction": (HEAD + "[profiles.p.to-doctor]\n", "profiles.p.both", "give both"),
    "all directions": (
        HEAD + BOTH + "[profiles.p.to-doctor]\n[profiles.p.to-patient]\n",
        "profiles.p.both",
        "unclear",
    ),
    "no unit": (HEAD + BOTH + 'delay = "5"\n', "profiles.p.both.delay", "has no unit"),
    "bare number": (HEAD + BOTH + "delay = 5\n", "profiles.p.both.delay", "has no unit"),
    "negative": (HEAD + BOTH + 'delay = "-5ms"\n', "profiles.p.both.delay", "is negative"),
    "unknown law": (HEAD + BOTH + 'law = "cauchy"\n', "profiles.p.both.law", "normal"),
    "loss above one": (HEAD + BOTH + 'loss = "101%"\n', "profiles.p.both.loss", "0 to 1"),
    "no rate": (HEAD + BOTH + 'rate = "0bit/s"\n', "profiles.p.both.rate_bps", "positive"),
    "no queue": (HEAD + BOTH + 'queue = "0s"\n', "profiles.p.both.queue_s", "positive"),
    "jitter without law": (
        HEAD + BOTH + 'delay = "5ms"\njitter = "1ms"\n',
        "profiles.p.both.delay.law",
        "uniform or normal",
    ),
    "jitter above delay": (
        HEAD + BOTH + 'delay = "5ms"\njitter = "6ms"\nlaw = "uniform"\n',
        "profiles.p.both.delay.spread_s",
        "larger than the delay",
    ),
    "unknown figure": (
        HEAD + BOTH + '[profiles.p.figures]\nrtt = "5ms"\n',
        "profiles.p.figures.rtt",
        "unknown key",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_mistake_is_named_with_its_remedy(case, tmp_path):
    text, place, words = BROKEN[case]
    path = tmp_path / "links.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_profiles(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert place in message
    assert words in message
    assert caught.value.remedy


def test_own_file_with_two_directions(tmp_path):
    path = tmp_path / "links.toml"
    path.write_text(
        HEAD
        + '[profiles.p.to-patient]\ndelay = "1ms"\n'
        + '[profiles.p.to-doctor]\ndelay = "2ms"\nqueue = "50ms"\nrate = "1mbit"\n'
    )
    profile = load_profiles(path)["p"]
    assert profile.to_patient.delay.mean_s == 0.001
    assert profile.to_doctor.delay.mean_s == 0.002
    assert (profile.to_doctor.queue_s, profile.to_doctor.rate_bps) == (0.05, 1e6)


def test_profiles_are_found_by_name_and_in_files(tmp_path):
    assert find_profile("wifi") == PROFILES["wifi"]
    path = tmp_path / "links.toml"
    path.write_text(HEAD + BOTH)
    assert find_profile(str(path)).name == find_profile(f"{path}:p").name == "p"
    with pytest.raises(InputError, match=r"no such profile in the file; use .*:NAME with one of p"):
        find_profile(f"{path}:q")
    path.write_text(HEAD + BOTH + (HEAD + BOTH).replace("profiles.p", "profiles.q"))
    with pytest.raises(InputError, match=r"more than one profile; .* one of p, q"):
        find_profile(str(path))
    with pytest.raises(InputError, match="no such file"):
        find_profile(str(tmp_path / "none.toml"))
    with pytest.raises(
        InputError, match=r"unknown link profile; use one of null, .*FILE.toml:NAME"
    ):
        find_profile("6g")


def test_a_profile_may_use_every_impairment_key(tmp_path):
    path = tmp_path / "links.toml"
    path.write_text(HEAD + BOTH + 'ber = "1e-6"\nslot = "2ms"\nloss = {model = "four-state", '
                    'p13 = "1%", p31 = "30%"}\n')  # fmt: skip
    state = find_profile(str(path)).to_doctor
    assert (state.ber, state.slot.low_s, state.loss.p31) == (1e-6, 0.002, 0.3)
