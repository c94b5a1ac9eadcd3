"""Signatures of an index: ed25519, detached, by PyNaCl.

The signature of an index lies beside it in a file named by the index's own digest, so that an index
and its signature can never be mixed up, whenever a publication is cut short.
"""

from __future__ import annotations

import hashlib
import os

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


def sign(content: bytes, secret: bytes) -> bytes:
    """Return the signature of a content as hexadecimal text."""
    return _nacl_signing().SigningKey(secret).sign(content).signature.hex().encode() + b"\n"


def verify(content: bytes, signature: bytes, public: bytes, where: str) -> None:
    """Raise ValueError unless a signature is that of a content by the owner of a public key."""
    import nacl.exceptions

    try:
        _nacl_signing().VerifyKey(public).verify(content, bytes.fromhex(signature.decode()))
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise ValueError(
            f"the index of {where} was not signed with the key in {PUBLIC_KEY}; it is not used"
        ) from error


def _nacl_signing():
    try:
        import nacl.signing
    except ImportError as error:
        raise ValueError("signatures need PyNaCl: pip install pynacl") from error
    return nacl.signing
