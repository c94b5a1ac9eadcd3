"""The other end of model_forward.py: times a function whenever a line comes in."""

import json
import sys
import time


def serve(forward, **facts):
    """Warm up, state the facts, and answer each line with the seconds of one call."""
    for _ in range(2):
        forward()
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        forward()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
