"""Defects of security: who is let in, what is executed, what is in clear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.devices.defects.defect import Defect
from bench.devices.security import ALARM
from bench.devices.traits import Traits

_VITAL_SIGNS = frozenset({"ecg", "heart-rate", "blood-pressure", "respiration"})
"""Streams."""


def _with(**changes: Any) -> Callable[[Traits, float], Traits]:
    return lambda t, _: replace(t, security=replace(t.security, **changes))


def _skips(*checks: str) -> Callable[[Traits, float], Traits]:
    def apply(t: Traits, _: float) -> Traits:
        return replace(t, security=replace(t.security, skips=t.security.skips | set(checks)))

    return apply


DEFECTS = (
    Defect(
        "executes-altered",
        "takes packets whatever their tag",
        ("SEC-5", "SEC-3"),
        _skips("tag"),
    ),
    Defect(
        "executes-injected",
        "takes packets in clear beside sealed ones",
        ("SEC-5", "SEC-3"),
        _skips("clear"),
    ),
    Defect(
        "executes-replayed",
        "takes copies of packets, whatever their number",
        ("SEC-5",),
        lambda t, size: replace(_skips("window")(t, size), drops_old_sequence=False),
    ),
    Defect(
        "accepts-no-certificate",
        "lets in clients that show no certificate",
        ("SEC-1",),
        _skips("certificate"),
    ),
    Defect(
        "accepts-expired",
        "lets in clients whose certificate has expired",
        ("SEC-1",),
        _skips("validity"),
    ),
    Defect(
        "accepts-foreign",
        "lets in clients whose certificate somebody else issued",
        ("SEC-1", "SEC-3"),
        _skips("issuer"),
    ),
    Defect(
        "accepts-revoked",
        "lets in clients whose certificate was revoked",
        ("SEC-1",),
        _skips("revocation"),
    ),
    Defect(
        "accepts-replayed-hello",
        "lets in who repeats what another client opened with",
        ("SEC-1",),
        _skips("nonce"),
    ),
    Defect(
        "accepts-unlisted",
        "lets in clients that are not on the whitelist",
        ("SEC-2",),
        _skips("whitelist"),
    ),
    Defect(
        "silent-refusals",
        "logs nothing of what it refuses",
        ("SEC-1", "SEC-2", "SEC-6", "CON-1"),
        _with(logs=False),
    ),
    Defect(
        "silent-on-rogue",
        "no alarm on foreign packets",
        ("SEC-3",),
        lambda t, _: replace(t, muted=t.muted | {ALARM}),
    ),
    Defect(
        "flood-blocks-stop",
        "the local stop waits in a flood",
        ("SEC-7",),
        lambda t, size: replace(t, security=replace(t.security, stop_in_flood_s=size)),
        size=0.075,
        timed=True,
    ),
    Defect(
        "unsigned-update",
        "installs updates whatever their signature",
        ("SEC-6",),
        _skips("update"),
    ),
    Defect(
        "plaintext-stream",
        "sends vital signs in clear",
        ("DAT-1",),
        _with(clear=_VITAL_SIGNS),
        fits=lambda device: any(stream.name in _VITAL_SIGNS for stream in device.streams),
    ),
    Defect(
        "other-suite",
        "agrees on another suite than the declared one",
        ("DAT-1",),
        _with(suite="TLS_RSA_WITH_RC4_128_SHA"),
    ),
    Defect(
        "slow-crypto",
        "sealing and opening together take too long",
        ("DAT-2",),
        lambda t, size: replace(t, security=replace(t.security, crypto_s=size / 2)),
        size=0.0015,
        timed=True,
    ),
    Defect(
        "accepts-further-client",
        "serves more clients than declared",
        ("CON-1",),
        _skips("connections"),
    ),
    Defect(
        "further-client-disturbs",
        "a client too many throws another one out",
        ("CON-1",),
        _with(evicts=True),
    ),
)
