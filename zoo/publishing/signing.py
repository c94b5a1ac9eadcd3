"""Signing of an index with the owner's secret key."""

from __future__ import annotations

from ..signatures import import_nacl


def sign(content: bytes, secret: bytes) -> bytes:
    """Return the ed25519 signature of a content as hexadecimal text.

    Parameters
    ----------
    content : bytes
    secret : bytes
        The key, 32 bytes.
    """
    signed = import_nacl().signing.SigningKey(secret).sign(content)
    return signed.signature.hex().encode() + b"\n"
