"""Signing the seal with an OpenSSH key, through ssh-keygen (``man ssh-keygen``, -Y sign).

``TELEMED_BENCH_SIGNING_KEY`` names a private key without a passphrase; runs are signed where it
is set. ``TELEMED_BENCH_ALLOWED_SIGNERS`` names a file of allowed signers; where it is set, only
runs signed by one of them verify. Without it a signature is only checked to belong to the seal.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bench.errors import InputError
from bench.runs.files import write_bytes

KEY_VARIABLE = "TELEMED_BENCH_SIGNING_KEY"
SIGNERS_VARIABLE = "TELEMED_BENCH_ALLOWED_SIGNERS"
_NAMESPACE = "telemed-bench"
_DEADLINE_S = 20


def signing_key() -> Path | None:
    """The configured key, tried out; ``None`` where none is configured.

    Raises:
        InputError: it cannot sign.

    """
    text = os.environ.get(KEY_VARIABLE)
    if not text:
        return None
    sign(b"", Path(text))
    return Path(text)


def sign(data: bytes, key: Path) -> bytes:
    """An SSH signature of ``data``.

    Raises:
        InputError: the key cannot sign.

    """
    done = _ssh_keygen("sign", "-f", str(key), given=data)
    if done is None:
        problem = "ssh-keygen is missing or hangs"
    elif done.returncode or not done.stdout:
        problem = _last_line(done.stderr)
    else:
        return done.stdout
    raise InputError(
        f"cannot sign ({problem})",
        remedy=f"name an OpenSSH private key without a passphrase, or unset {KEY_VARIABLE}",
        field=KEY_VARIABLE,
        value=str(key),
    )


def write_signature(data: bytes, key: Path, path: Path) -> None:
    """Write the signature of ``data`` to ``path``.

    Raises:
        InputError: the key cannot sign, or the file cannot be written.

    """
    write_bytes(path, sign(data, key))


def signature_problem(data: bytes, signature: Path) -> str | None:
    """What is wrong with the signature of ``data``, ``None`` where nothing is."""
    signers = os.environ.get(SIGNERS_VARIABLE)
    if not signers:
        return _problem(_ssh_keygen("check-novalidate", "-s", str(signature), given=data))
    found = _ssh_keygen("find-principals", "-s", str(signature), "-f", signers, given=b"")
    if found is None or found.returncode or not found.stdout.strip():
        return _problem(found) or "no allowed signer"
    who = found.stdout.decode(errors="replace").splitlines()[0]
    return _problem(
        _ssh_keygen("verify", "-s", str(signature), "-f", signers, "-I", who, given=data)
    )


def _problem(done: subprocess.CompletedProcess[bytes] | None) -> str | None:
    if done is None:
        return "ssh-keygen is missing or hangs, so it cannot be checked"
    return _last_line(done.stderr or done.stdout) if done.returncode else None


def _last_line(text: bytes) -> str:
    return (text.decode(errors="replace").strip() or "no reason given").splitlines()[-1]


def _ssh_keygen(
    action: str, *words: str, given: bytes
) -> subprocess.CompletedProcess[bytes] | None:
    namespace = () if action == "find-principals" else ("-n", _NAMESPACE)
    try:
        return subprocess.run(
            ["ssh-keygen", "-Y", action, *namespace, *words],
            input=given,
            capture_output=True,
            timeout=_DEADLINE_S,
            check=False,
            start_new_session=True,  # no terminal: a passphrase is never asked for
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
