"""The other end of benchmarks/nets.py: a process that holds one network and is asked for passes.

Requests come as JSON lines on the standard input and are answered in kind:

{"load": FOLDER, "config": …, "mode": "inference" | "training"}
    build the network with the weights in FOLDER, run it on FOLDER/x.npy and write FOLDER/y.npy;
{"run": N}
    N passes, or training steps; the answer has the `seconds` of one and the peak of the process's
    memory since the network was loaded, `gib`.
"""

import json
import re
import sys
import time
from pathlib import Path


def _peak_memory() -> float:
    """Return the peak of the resident memory in GiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20


def _reset_peak_memory() -> None:
    # See proc(5). What loading took on the way is not what the network needs.
    Path("/proc/self/clear_refs").write_text("5")


def serve(load) -> None:
    """Answer requests until the input ends; `load(request)` returns the function that is timed."""
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            run = load(request)
            _reset_peak_memory()
            answer = {}
        else:
            start = time.perf_counter()
            for _ in range(request["run"]):
                run()
            seconds = (time.perf_counter() - start) / request["run"]
            answer = {"seconds": seconds, "gib": _peak_memory()}
        print(json.dumps(answer), flush=True)
