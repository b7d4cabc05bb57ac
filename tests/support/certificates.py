"""Certificates of a private authority, for a server and a client."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

START = dt.datetime(2020, 1, 1)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, PEM files."""

    path: Path
    key: Path


def certificates(folder: Path) -> dict[str, Certificate]:
    """Of an `authority`, and by it of a `server` at 127.0.0.1 and a `client`."""
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("authority", "server", "client")}
    found = {}
    for name, key in keys.items():
        built = _builder(name, key).sign(keys["authority"], hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}-key.pem").write_bytes(pem)
        found[name] = Certificate(folder / f"{name}.pem", folder / f"{name}-key.pem")
    return found


def _builder(name: str, key: Any) -> x509.CertificateBuilder:
    def called(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(
        called("authority"),
        called(name),
        key.public_key(),
        x509.random_serial_number(),
        START,
        START.replace(year=2100),
    ).add_extension(x509.BasicConstraints(ca=name == "authority", path_length=None), critical=True)
    if name == "server":
        host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([host]), critical=False)
    return builder
