"""Certificates of servers, right ones and wrong ones, with the authority that they are verified against."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "localhost"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, in two files."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server speaks with it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make(folder: Path) -> tuple[Path, Mapping[str, Pair]]:
    """Writes an authority, and certificates of `HOST` by what is right or wrong about each."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaves = {
        "right": authority.issue_cert(HOST),
        "another name": authority.issue_cert("elsewhere.example"),
        "expired": authority.issue_cert(HOST, not_before=NOW - 3 * DAY, not_after=NOW - DAY),
    }
    pairs = {name: _paths(folder, name) for name in (*leaves, "self-signed")}
    for name, leaf in leaves.items():
        pairs[name].certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        pairs[name].key.write_bytes(leaf.private_key_pem.bytes())
    _self_signed(pairs["self-signed"])
    return folder / "ca.pem", pairs


def _paths(folder: Path, name: str) -> Pair:
    stem = name.replace(" ", "-")
    return Pair(folder / f"{stem}.pem", folder / f"{stem}.key")


def _self_signed(pair: Pair) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), NOW - DAY, NOW + DAY)
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    signed = made.sign(key, hashes.SHA256())
    pair.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
