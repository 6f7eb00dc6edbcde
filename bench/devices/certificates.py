"""Certificates, signatures and key agreement as a model: right in form, toy in size.

Schnorr signatures and Diffie-Hellman over the squares modulo a safe prime just below 2^61.
Whoever lacks a secret cannot sign with it or agree on its keys, which is all that the state
machines need; no strength is claimed. Certificates follow RFC 5280 in what is checked (6.1.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

PRIME = (1 << 61) - 2373
_ORDER = (PRIME - 1) // 2
"""A prime as well: every public key but 1 is as hard as any other."""
_BASE = 4


def _number(*parts: object) -> int:
    """A number below the order that depends on all parts."""
    text = "|".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") % _ORDER or 1


def public(secret: int) -> int:
    """The public key, or the public share, of a secret."""
    return pow(_BASE, secret, PRIME)


def agree(secret: int, share: int) -> int:
    """The key that the holder of ``secret`` and that of the share's secret have in common."""
    return pow(share, secret, PRIME)


def sign(secret: int, *content: object) -> tuple[int, int]:
    """A signature over ``content``."""
    once = _number("once", secret, *content)
    point = public(once)
    return point, (once + secret * _number(point, *content)) % _ORDER


def signed(key: int, signature: object, *content: object) -> bool:
    """Whether ``signature`` over ``content`` was made with the secret of ``key``."""
    if not isinstance(signature, list | tuple) or len(signature) != 2:
        return False
    point, answer = signature
    if not isinstance(point, int) or not isinstance(answer, int) or not 1 < key < PRIME:
        return False
    return pow(_BASE, answer, PRIME) == point * pow(key, _number(point, *content), PRIME) % PRIME


@dataclass(frozen=True, slots=True)
class Certificate:
    """Who holds a key, as an authority says.

    ``from_s``, ``until_s``: when it is valid, in s of the session. ``signature``: the issuer's.
    """

    subject: str
    issuer: str
    serial: int
    from_s: float
    until_s: float
    key: int
    signature: tuple[int, int] = (0, 0)

    @property
    def content(self) -> tuple[object, ...]:
        """What the issuer signs."""
        return (self.subject, self.issuer, self.serial, self.from_s, self.until_s, self.key)

    def plain(self) -> list[Any]:
        """As JSON data."""
        return [*self.content, list(self.signature)]


def certificate_of(data: object) -> Certificate | None:
    """A certificate from what a peer sent; ``None`` where it is none."""
    if not isinstance(data, list) or len(data) != 7 or not isinstance(data[6], list):
        return None
    subject, issuer, serial, from_s, until_s, key, signature = data
    texts = isinstance(subject, str) and isinstance(issuer, str)
    numbers = all(isinstance(n, int | float) for n in (serial, from_s, until_s, *signature))
    if not (texts and numbers and isinstance(key, int) and len(signature) == 2):
        return None
    return Certificate(subject, issuer, serial, from_s, until_s, key, tuple(signature))


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate and the secret of its key. Only its owner has it."""

    certificate: Certificate
    secret: int


@dataclass(frozen=True, slots=True)
class Authority:
    """Issues certificates."""

    name: str
    secret: int

    @property
    def key(self) -> int:
        """Its public key."""
        return public(self.secret)

    def issue(
        self, subject: str, serial: int, *, from_s: float = -1e6, until_s: float = 1e9
    ) -> Credential:
        """A credential for ``subject``."""
        secret = _number("secret of", self.secret, subject, serial)
        bare = Certificate(subject, self.name, serial, from_s, until_s, public(secret))
        return Credential(replace(bare, signature=sign(self.secret, *bare.content)), secret)


def authority(name: str, seed: object) -> Authority:
    """An authority with a secret of its own."""
    return Authority(name, _number("authority", name, seed))


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a device lets in.

    ``anchor``: public key of the authority. ``revoked``: serial numbers. ``listed``: subjects.
    """

    anchor: int
    revoked: frozenset[int]
    listed: frozenset[str]


CHECKS: Mapping[str, Callable[[Certificate, Trust, float], bool]] = {
    "issuer": lambda c, trust, now_s: signed(trust.anchor, c.signature, *c.content),
    "validity": lambda c, trust, now_s: c.from_s <= now_s <= c.until_s,
    "revocation": lambda c, trust, now_s: c.serial not in trust.revoked,
    "whitelist": lambda c, trust, now_s: c.subject in trust.listed,
}
"""What a certificate must withstand, by name, in this order."""


def objection(
    certificate: Certificate, trust: Trust, now_s: float, skipped: frozenset[str] = frozenset()
) -> str:
    """The first check that a certificate does not withstand; empty if it withstands all.

    Args:
        skipped: checks that are left out (a deliberate defect).
    """
    for name, check in CHECKS.items():
        if name not in skipped and not check(certificate, trust, now_s):
            return name
    return ""
