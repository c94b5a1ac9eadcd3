"""Compute what a test module's `checked_results` gives: float32_bits.py MODULE.

Print the instruction set in use and a digest of the results. The exit status is not 0 if the
results do not agree with the module's reference.
"""

import hashlib
import importlib
import sys
from pathlib import Path

from deeprect_gluon import native

sys.path.insert(0, str(Path(__file__).parents[1]))
digest = hashlib.sha256()
for array in importlib.import_module(sys.argv[1]).checked_results():
    digest.update(array.tobytes())
print(native.isa(), digest.hexdigest())
