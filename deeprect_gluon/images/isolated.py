"""Run a function on a stranger's bytes in another process, with limits of time and memory.

Some small files take hours or gigabytes to decode, in ways that differ by format and by version of
the decoder. Only a process can be ended in the middle of that, and gives all its memory back.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import os
import queue
import resource
import signal
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Callable

# Bytes that a process keeps for the next call; if it has taken more, another one replaces it.
_KEPT = 256 << 20


class Isolated:
    """A function that runs in processes which end if a call takes too long.

    They are forked by `start`: call it before threads compute. They end with `close`, or with the
    thread that started them.

    Parameters
    ----------
    function : callable
        From bytes to what can be pickled. It must not use MXNet.
    processes : int
        More calls than that at a time wait for each other.
    seconds : float
        Of the processor's time, for a call.
    memory : int
        Bytes that a call may take beyond what this process has now.
    """

    def __init__(
        self,
        function: Callable[[bytes], Any],
        processes: int = 1,
        seconds: float = 10,
        memory: int = 2 << 30,
    ):
        self._function, self._processes = function, processes
        self._seconds, self._memory = seconds, memory
        self._idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._keepers: list[int] = []

    def start(self) -> None:
        """Fork the processes."""
        for _ in range(self._processes):
            ours, theirs = Pipe()
            self._keepers.append(_fork(theirs, _keep, self._function, self._seconds, self._memory))
            theirs.close()
            self._idle.put(ours)

    def __call__(self, content: bytes | memoryview) -> Any:
        """Return what the function returns, or raise what it raises.

        Raises
        ------
        ValueError
            Also if the call took too much time or memory, or ended its process.
        """
        pipe = self._idle.get()
        try:
            pipe.send_bytes(content)
            result = pipe.recv()
        finally:
            self._idle.put(pipe)
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        """End the processes, whatever they do."""
        for pid in self._keepers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._keepers = []


def end_with_parent(parent: int) -> None:
    """Make this process end when its parent ends, in whatever way."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _fork(pipe: Connection, work: Callable, *arguments: Any) -> int:
    """Return the number of a new process that does `work(pipe, *arguments)`."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    with contextlib.suppress(BaseException):
        # Collect no garbage of the parent's: a net would wait for its threads, which are not here.
        gc.freeze()
        end_with_parent(parent)
        for number in (signal.SIGINT, signal.SIGTERM):  # a terminal sends them to all processes
            signal.signal(number, signal.SIG_IGN)
        # An inherited connection would stay open here after the parent has closed it.
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) != pipe.fileno():
                with contextlib.suppress(OSError):
                    os.close(int(name))
        work(pipe, *arguments)
    os._exit(1)


def _keep(pipe: Connection, function: Callable, seconds: float, memory: int) -> None:
    """Fork workers one after the other, and answer for a call that ended its worker."""
    busy = mmap.mmap(-1, 1)  # shared with the workers
    while True:
        _, status = os.waitpid(_fork(pipe, _work, function, busy, seconds, memory), 0)
        if busy[0]:
            busy[0] = 0
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            too_long = f"the image takes more than {seconds:g} seconds to decode"
            ended = f"the image ended its decoder (signal {number})"
            pipe.send(ValueError(too_long if number == signal.SIGPROF else ended))


def _work(
    pipe: Connection, function: Callable, busy: mmap.mmap, seconds: float, memory: int
) -> None:
    """Answer calls, until the memory is worth giving back."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * mmap.PAGESIZE + memory
    if most == resource.RLIM_INFINITY or limit < most:
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # it ends the process
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _KEPT >> 10:
        content = pipe.recv_bytes()
        busy[0] = 1
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            result = function(content)
        except MemoryError:
            result = ValueError(f"the image takes more than {memory:,} bytes to decode")
        except Exception as error:
            result = error
        signal.setitimer(signal.ITIMER_PROF, 0)
        del content
        pipe.send(result)
        busy[0] = 0
