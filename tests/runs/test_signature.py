"""A signed seal: it names who sealed, and cannot be made again without the key."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from bench.errors import InputError
from bench.runs.folder import RunFolder
from bench.runs.seal import seal, verify
from bench.runs.signature import KEY_VARIABLE, SIGNERS_VARIABLE

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="NOT TESTED: ssh-keygen is not installed"
)


def make_key(path, passphrase=""):
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "lab", "-f", str(path)]
    subprocess.run(words, check=True, timeout=30, stdin=subprocess.DEVNULL)
    return path


@pytest.fixture
def key(tmp_path):
    return make_key(tmp_path / "key")


@pytest.fixture
def signed(run, record, key, monkeypatch):
    monkeypatch.delenv(SIGNERS_VARIABLE, raising=False)
    monkeypatch.setenv(KEY_VARIABLE, str(key))
    record()
    run.finish()
    monkeypatch.delenv(KEY_VARIABLE)
    return run.path


@pytest.fixture
def trust(tmp_path, monkeypatch):
    def trust_(key):
        public = key.with_name(key.name + ".pub").read_text()
        (tmp_path / "signers").write_text(f"lab@example.org {public}")
        monkeypatch.setenv(SIGNERS_VARIABLE, str(tmp_path / "signers"))

    return trust_


def reseal(path):
    """What somebody without the key can do: edit, and make the sums again."""
    signature = (path / "SHA256SUMS.sig").read_bytes()
    (path / "SHA256SUMS").unlink()
    seal(path)
    (path / "SHA256SUMS.sig").write_bytes(signature)


def test_signed_run_verifies(signed, key, trust):
    assert verify(signed).signed
    trust(key)
    found = verify(signed)
    assert found.ok
    assert found.signed


def test_sums_made_again_do_not_verify(signed):
    (signed / "verdicts.json").write_text("{}")
    reseal(signed)
    (problem,) = verify(signed).problems
    assert problem.startswith("changed: SHA256SUMS.sig")


def test_taken_away_signature(signed):
    (signed / "SHA256SUMS.sig").unlink()
    assert verify(signed).problems == ("missing: SHA256SUMS.sig",)


def test_signature_of_somebody_else(signed, tmp_path, trust):
    trust(make_key(tmp_path / "other"))
    (problem,) = verify(signed).problems
    assert problem.startswith("changed: SHA256SUMS.sig")


def test_unsigned_run_where_signers_are_demanded(run, key, trust):
    run.finish()
    assert verify(run.path).ok
    trust(key)
    (problem,) = verify(run.path).problems
    assert problem.startswith("unsigned")


@pytest.mark.parametrize("kind", ["missing", "no key", "passphrase"])
def test_key_that_cannot_sign_is_found_before_the_run(tmp_path, identity, monkeypatch, kind):
    path = tmp_path / "bad"
    if kind == "no key":
        path.write_text("x")
    if kind == "passphrase":
        make_key(path, "secret")
    monkeypatch.setenv(KEY_VARIABLE, str(path))
    with pytest.raises(InputError, match="cannot sign") as caught:
        RunFolder.create(tmp_path / "results", "x", identity)
    assert "\n" not in caught.value.line()
    assert not (tmp_path / "results").exists()
