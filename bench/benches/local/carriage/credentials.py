"""Real certificates for the two sides of a simulated device: made for one session, kept nowhere.

X.509 (RFC 5280) with ECDSA over P-256. The keys are made by the host process and live in its
children's memory only; no file on a disk ever holds one. What the device itself thinks of
certificates is its own business above this (:mod:`bench.devices.certificates`, a model).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bench.benches.local.layout import other
from bench.network.scenario import Side

_AROUND = timedelta(hours=1)
"""Valid from so long before, for clocks that differ."""
_FOR = timedelta(days=1)

PURPOSES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
"""What a certificate may be used for: either end of a session."""

WHO: Mapping[Side, str] = {"patient": "device", "doctor": "console"}
"""What a certificate calls a side, before the device's name."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What one side shows, and whom it believes.

    ``certificate``, ``key``: its own; none shows none. ``anchor``: the authority that it trusts.
    ``peer``: the name (DNS, subject alternative) that the other side's certificate must bear.
    """

    certificate: x509.Certificate | None
    key: ec.EllipticCurvePrivateKey | None
    anchor: x509.Certificate
    peer: str


class Authority:
    """Issues certificates; its own is self-signed."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        now = datetime.now(UTC)
        self.certificate = (
            self._builder(self._name, self._key.public_key(), now - _AROUND, now + _FOR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, SHA256())
        )

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
        )

    def issue(
        self,
        name: str,
        age: timedelta = timedelta(),
        purposes: Sequence[x509.ObjectIdentifier] = PURPOSES,
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """A certificate for ``name`` and its key, as if issued ``age`` ago, good for a day."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = datetime.now(UTC) - age
        certificate = (
            self._builder(_named(name), key.public_key(), issued - _AROUND, issued + _FOR)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .sign(self._key, SHA256())
        )
        return certificate, key


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def name_of(device: str, side: Side) -> str:
    """What the certificate of a side of a device names."""
    return f"{WHO[side]}.{device}"


def identities(device: str) -> Mapping[Side, Identity]:
    """Both sides' identities under an authority made for them alone."""
    ours = Authority("telemed-bench session CA")
    return {
        side: Identity(
            *ours.issue(name_of(device, side)), ours.certificate, name_of(device, other(side))
        )
        for side in WHO
    }


def names_in(certificate: x509.Certificate) -> list[str]:
    """The DNS names that a certificate is for; none of one that cannot be read."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return found.value.get_values_for_type(x509.DNSName)
