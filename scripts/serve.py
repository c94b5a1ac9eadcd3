#!/usr/bin/env python
"""Serve an exported net over HTTP: image in, classes out; with a page to drop an image on."""

from __future__ import annotations

import argparse
from pathlib import Path

from deeprect_gluon import native
from deeprect_gluon.errors import run_program


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("export", type=Path, help="path of an export, as given to scripts/export.py")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=8000, help="0 takes a free one")
    add("--max-bytes", type=int, default=10 << 20, help="of an image file")
    add("--max-pixels", type=int, default=50_000_000, help="of an image")
    add("--max-batch", type=int, default=16, help="images computed together")
    add("--max-wait", type=float, default=0.005, help="seconds to wait for more of them")
    add("--max-queue", type=int, default=64, help="requests at a time; more get 503")
    add("--body-timeout", type=float, default=10, help="seconds in which an image must come")
    add("--decode-timeout", type=float, default=10, help="seconds of CPU time to decode an image")
    add("--answer-timeout", type=float, default=60, help="seconds to answer; then 503")
    add("--idle-timeout", type=int, default=5, help="seconds in which a request must begin")
    add("--stop-timeout", type=int, default=30, help="seconds to finish requests when stopped")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    native.keep_memory()
    from deeprect_gluon import serve  # needs the packages of deeprect_gluon[serve]

    limits = serve.Limits(
        max_bytes=args.max_bytes,
        body_timeout=args.body_timeout,
        decode_timeout=args.decode_timeout,
        answer_timeout=args.answer_timeout,
        max_batch=args.max_batch,
        max_wait=args.max_wait,
        max_queue=args.max_queue,
    )
    app = serve.create_app(serve.Classifier(args.export, args.max_pixels), limits)
    serve.run(
        serve.configure(
            app,
            host=args.host,
            port=args.port,
            idle_timeout=args.idle_timeout,
            stop_timeout=args.stop_timeout,
            max_connections=4 * args.max_queue,
        )
    )


if __name__ == "__main__":
    run_program(main)
