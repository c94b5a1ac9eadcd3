"""Prints a digest of what a test module's `checked_results` gives: float32_bits.py MODULE."""

import hashlib
import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
digest = hashlib.sha256()
for array in importlib.import_module(sys.argv[1]).checked_results():
    digest.update(array.tobytes())
print(digest.hexdigest())
