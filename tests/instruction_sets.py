"""The instruction sets that this processor and this build of the library have."""

from deeprect_gluon import native

_ALL = ["baseline", "avx2", "avx512"]
AVAILABLE = _ALL[: _ALL.index(native.isa()) + 1]
