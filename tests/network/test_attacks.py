"""Attacks as data: written into the name of an action and read back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.network import library
from bench.network.attacks import Attack, attack_of

KINDS = ("flip", "replay", "reorder", "inject", "connect", "flood", "rogue", "update", "listen")
ATTACKS = st.builds(
    Attack,
    kind=st.sampled_from(KINDS),
    detail=st.sampled_from(("", "expired", "valid")),
    stream=st.sampled_from(("", "haptic-command")),
    link=st.sampled_from(("primary", "standby")),
    way=st.sampled_from(("to-patient", "to-doctor")),
    count=st.integers(1, 10_000),
    rate_per_s=st.floats(0.1, 1e5),
    seconds=st.floats(0, 100),
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(ATTACKS)
def test_an_action_says_all_of_an_attack(attack):
    action = attack.action("step", 0.5)
    assert attack_of(action.name) == attack
    assert action.side == ("patient" if attack.way == "to-patient" else "doctor")


@pytest.mark.parametrize("name", ["local-stop", "rearm", "attack"])
def test_other_actions_are_none(name):
    assert attack_of(name) is None


@pytest.mark.parametrize("name", ["attack:", "attack:flip", "attack:tickle,way=to-patient"])
def test_a_broken_attack_is_refused(name):
    with pytest.raises(ValueError, match="no attack"):
        attack_of(name)


def test_every_attack_of_the_library_is_bounded():
    for name in library.SCENARIOS:
        scenario = library.find_scenario(name)
        for action in scenario.actions:
            attack = attack_of(action.name)
            if attack is not None:
                assert attack.count <= 5000
                assert attack.rate_per_s <= 5000
                assert attack.link in scenario.links
