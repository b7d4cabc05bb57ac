"""Key pairs as `openssl` writes them."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


def write_keys(folder: Path, start: str = "", *, is_rsa: bool = False, password: bytes | None = None) -> None:
    """`private.pem` and `public.pem` with this start of their names; on the curve P-256, or of RSA."""
    key = rsa.generate_private_key(65537, 2048) if is_rsa else ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, protection)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{start}private.pem").write_bytes(private)
    (folder / f"{start}public.pem").write_bytes(public)


def write_two_pairs(folder: Path) -> Path:
    """`private.pem` and `public.pem`, and `other-private.pem` and `other-public.pem`, in the folder that comes back."""
    write_keys(folder)
    write_keys(folder, "other-")
    return folder
