"""Train a tiny net with dropout and checkpoints, again and again, and do something to it each time.

    train_tiny.py RANKS JOB...

A job is FOLDER, FOLDER,ACTION,STEP or FOLDER,ACTION,STEP,RANK. Its ranks are processes of their
own, forked from this one, which has imported everything and run nothing. The action comes when the
data of the step are asked for, on one rank or on all: kill (SIGKILL), cut (the next write beyond
4 kB ends the process, so that it dies inside a checkpoint), full (that write fails), nan (images of
NaN) or term (SIGTERM). When a rank has failed, the others fail in their next exchange with it; a
rank that still runs after GRACE seconds is killed. Print one JSON line for a job: the exit statuses
in the order of the ranks, and what they wrote.
"""

import contextlib
import ctypes
import json
import logging
import os
import resource
import signal
import sys
import tempfile
import time

import numpy as np

import deeprect_gluon as dg
from deeprect_gluon.data import Batches, shift_and_flip
from deeprect_gluon.errors import Stopped
from deeprect_gluon.initializer import initialize
from deeprect_gluon.train import Task, TrainConfig, Workers, loop

SMALL_FILES = 4096
GRACE = 30  # seconds
PR_SET_PDEATHSIG = 1  # of Linux


class Watched(Batches):
    """Batches that do the action when they reach its step."""

    def __init__(self, *args, action="", step=-1, **more):
        super().__init__(*args, **more)
        self.action, self.step = action, step

    def epoch(self, epoch=0, start=0):
        steps = range(epoch * len(self) + start, (epoch + 1) * len(self))
        for step, batch in zip(steps, super().epoch(epoch, start)):
            if step == self.step:
                self.act()
                if self.action == "nan":
                    batch[0][:] = float("nan")
            yield batch

    def act(self):
        if self.action in ("kill", "term"):
            os.kill(os.getpid(), signal.SIGKILL if self.action == "kill" else signal.SIGTERM)
        if self.action in ("cut", "full"):
            if self.action == "cut":
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILES, resource.RLIM_INFINITY))


def train(folder, action="", step=-1, rank=None):
    workers = Workers()
    part = {"rank": workers.rank, "size": workers.size}
    mine = rank is None or int(rank) == workers.rank
    rng = np.random.default_rng(0)
    images = rng.normal(size=(60, 1, 28, 28)).astype(np.float32)
    labels = (images[:, 0, :14].sum((1, 2)) > 0).astype(np.int32)
    data = Watched(
        images,
        labels,
        12,
        shuffle=True,
        augment=shift_and_flip,
        seed=4,
        action=action if mine else "",
        step=int(step),
        **part,
    )
    validation = Batches(images[:50], labels[:50], 16, **part)
    small = {"stem": "small_image", "in_channels": 1, "input_size": 28, "pyramid": (2, 1)}
    net = dg.models.get_model("deeprect_small14", **small, classes=2, width=0.05, hidden=(16,))
    initialize(net, "msra", "in", 1)
    config = TrainConfig(
        epochs=3,
        batch_size=12,
        lr=0.02,
        warmup_epochs=0.6,
        plateau=1,
        plateau_gain=0.2,
        report_every=3,
        checkpoint_every=2,
        seed=4,
    )
    task = Task(net, data, validation, "tiny", {})
    loop.train(task, config, folder, workers, resume=True)


def rank_process(job, environment, log):
    """Be a rank, from the fork to the end of the process."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # end with the parent
    os.environ.update(environment)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = 1
    try:
        train(*job)
        status = 0
    except Stopped as stopped:
        print(stopped, flush=True)
        status = 0
    except Exception as error:
        print(f"train_tiny: {error}", flush=True)
    finally:
        os._exit(status)


@contextlib.contextmanager
def rendezvous(ranks):
    """Yield the environment that horovodrun would give to each rank."""
    if ranks == 1:
        yield [{}]
        return
    from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
    from horovod.runner.gloo_run import create_run_env_vars, create_slot_env_vars
    from horovod.runner.http.http_server import RendezvousServer

    slots = get_host_assignments(parse_hosts(f"localhost:{ranks}"), ranks)
    server = RendezvousServer(0)
    port = server.start()
    server.init(slots)
    common = {k: str(v) for k, v in create_run_env_vars("127.0.0.1", ["lo"], port).items()}
    yield [{**common, **create_slot_env_vars(slot)} for slot in slots]
    server.stop()


def wait(running):
    """Wait for processes, {pid: rank}, and return their exit statuses, {rank: status}.

    A status is as in `subprocess`: minus the signal that ended the process. Do not kill the others
    when one has failed: a rank that is about to die of its action would show SIGKILL instead.
    """
    statuses, deadline = {}, float("inf")
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            ended = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            statuses[running.pop(pid)] = ended
            if status:
                deadline = min(deadline, time.monotonic() + GRACE)
        elif time.monotonic() > deadline:
            for other in running:
                os.kill(other, signal.SIGKILL)
            deadline = float("inf")
        else:
            time.sleep(0.01)
    return statuses


def run(ranks, job):
    with rendezvous(ranks) as environments, tempfile.TemporaryFile("w+") as log:
        running = {}
        for rank, environment in enumerate(environments):
            pid = os.fork()
            if pid == 0:
                rank_process(job, environment, log)
            running[pid] = rank
        statuses = wait(running)
        log.seek(0)
        return {"statuses": [statuses[rank] for rank in range(ranks)], "said": log.read()}


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if int(sys.argv[1]) > 1:
        import horovod.mxnet  # noqa: F401
    for job in sys.argv[2:]:
        print(json.dumps(run(int(sys.argv[1]), job.split(","))), flush=True)
