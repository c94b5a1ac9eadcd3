"""Command line of the zoo: `python -m zoo COMMAND`, see `python -m zoo --help`.

Commands import modules of `zoo.publishing` when they run, because those import training.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Callable

from . import index as index_file
from .pretrained import list_models, model_info
from .store import DEFAULT, open_store
from .weights import FORMATS


def _list(args: argparse.Namespace) -> None:
    names = list_models(args.filter, args.pretrained, args.repo)
    entries = index_file.latest(open_store(args.repo).entries)
    for name in names:
        print(name)
        for entry in entries:
            if entry["name"] == name:
                print(
                    f"  {entry['dataset']}@{entry['version']}  {entry['config']['activation']}  "
                    f"top-1 error {100 * entry['metrics']['top1_error']:.2f} %  "
                    f"{entry['weights']['bytes'] / 1e6:.1f} MB"
                )


def _info(args: argparse.Namespace) -> None:
    from .publishing.cards import card

    entry = model_info(args.name, args.weights, args.activation, args.repo)
    print(json.dumps(entry, indent=2) if args.json else card(entry))


def _publish(args: argparse.Namespace) -> None:
    from .publishing.publish import publish

    entry = publish(
        args.checkpoint,
        args.name,
        args.dataset,
        to=args.to,
        form=args.format,
        licence=args.licence,
    )
    print(
        f"published {index_file.title(entry)}@{entry['version']}: "
        f"top-1 error {100 * entry['metrics']['top1_error']:.2f} %, "
        f"{entry['weights']['bytes']:,} bytes, SHA-256 {entry['weights']['sha256']}"
    )


def _fetch(args: argparse.Namespace) -> None:
    store = open_store(args.repo, args.root)
    if args.name is None:
        entries = index_file.latest(store.entries)
    else:
        entries = [index_file.select(store.entries, args.name, args.weights, args.activation)]
    for entry in entries:
        print(store.path(entry["weights"]))


def _remove(args: argparse.Namespace) -> None:
    for path in open_store(root=args.root).remove(args.name):
        print(path)


def _verify(args: argparse.Namespace) -> None:
    from .publishing.verify import verify

    found = verify(open_store(args.repo), args.metrics)
    for label, problem in found.items():
        print(f"{label}: {problem or 'good'}")
    if any(found.values()):
        sys.exit(1)


def _cards(args: argparse.Namespace) -> None:
    from .publishing.cards import write_cards

    for path in write_cards(open_store(args.repo), args.out):
        print(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m zoo", description="Published nets.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(run_command=run)
        sub.add_argument(
            "--repo",
            action="append",
            help="the store, a folder or a URL; give it again to name copies (default: "
            "DEEPRECT_ZOO_REPO, else the store that comes with the package)",
        )
        return sub

    sub = command("list", _list, "List the models and their published weights.")
    sub.add_argument("filter", nargs="?", help="shell pattern of names")
    sub.add_argument("--pretrained", action="store_true", help="only those with weights")

    sub = command("info", _info, "Show the card of published weights.")
    sub.add_argument("name")
    sub.add_argument("weights", nargs="?", help="DATASET or DATASET@VERSION")
    sub.add_argument("--activation", help="prelu (the default), prelu_shared or relu")
    sub.add_argument("--json", action="store_true", help="the index entry instead of the card")

    sub = command(
        "fetch", _fetch, "Fetch weights into the cache, so that they can be used offline."
    )
    sub.add_argument("name", nargs="?", help="the model (default: all that are published)")
    sub.add_argument("weights", nargs="?", help="DATASET or DATASET@VERSION")
    sub.add_argument("--activation", help="prelu (the default), prelu_shared or relu")
    sub.add_argument("--root", type=Path, help="the cache (default: $MXNET_HOME/models)")

    sub = command("remove", _remove, "Remove a model's weights from the cache.")
    sub.add_argument("name")
    sub.add_argument("--root", type=Path, help="the cache (default: $MXNET_HOME/models)")

    sub = command("verify", _verify, "Check every file of a store.")
    sub.add_argument("--metrics", action="store_true", help="measure every net again")

    sub = command("cards", _cards, "Write the model cards of a store.")
    sub.add_argument("--out", type=Path, default=Path("docs/cards"))

    sub = commands.add_parser("publish", help="Add a trained net to a store.")
    sub.set_defaults(run_command=_publish)
    sub.add_argument("checkpoint", type=Path, help="folder of a training, or weights.params in it")
    sub.add_argument("--to", default=str(DEFAULT), help="the store (default: the package's)")
    sub.add_argument("--format", choices=FORMATS, default=FORMATS[0])
    sub.add_argument("--name", help="the model that the training must be of")
    sub.add_argument("--dataset", help="the dataset that it must have been on")
    sub.add_argument("--licence", default="Apache-2.0", help="SPDX identifier")
    return parser


def main(argv: list[str] | None = None) -> None:
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        args.run_command(args)
    except (ValueError, LookupError, OSError) as error:
        sys.exit(f"zoo: {error}")


if __name__ == "__main__":
    main()
