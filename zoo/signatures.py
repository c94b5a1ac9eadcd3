"""Signatures of an index: their files, keys and verification (ed25519, detached, by PyNaCl).

The signature of an index lies beside it, in a file named by the digest of the index. So a
publication that is cut short never leaves an index with the signature of another one.
"""

from __future__ import annotations

import hashlib
import os
from types import ModuleType

PUBLIC_KEY = "DEEPRECT_ZOO_PUBLIC_KEY"
SECRET_KEY = "DEEPRECT_ZOO_SECRET_KEY"


def signature_name(content: bytes) -> str:
    """Return the name of the file with the signature of an index."""
    return f"index.{hashlib.sha256(content).hexdigest()[:16]}.sig"


def key_from_environment(variable: str) -> bytes | None:
    """Return the key that a variable holds as 64 hexadecimal digits, None if it is not set.

    Raises
    ------
    ValueError
        If it is set to something else.
    """
    text = os.environ.get(variable, "")
    if not text:
        return None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ValueError(f"{variable} is not a key: give 64 hexadecimal digits")
    return key


def import_nacl() -> ModuleType:
    """Return PyNaCl; ValueError if it is not installed."""
    try:
        import nacl.exceptions
        import nacl.signing
    except ImportError as error:
        raise ValueError("signatures need PyNaCl: pip install pynacl") from error
    return nacl


def verify(content: bytes, signature: bytes, public: bytes, where: str) -> None:
    """Raise ValueError unless the owner of a public key signed this content.

    Parameters
    ----------
    content : bytes
    signature : bytes
        128 hexadecimal digits.
    public : bytes
        The key, 32 bytes.
    where : str
        Names the store in the error.
    """
    nacl = import_nacl()
    try:
        nacl.signing.VerifyKey(public).verify(content, bytes.fromhex(signature.decode()))
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise ValueError(
            f"the index of {where} was not signed with the key in {PUBLIC_KEY}; it is not used"
        ) from error
