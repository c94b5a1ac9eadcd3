"""Print the layers of a network with its parameters and multiply-adds, and the paper's figure.

python -m deeprect_gluon.models deeprect_c
"""

from __future__ import annotations

import argparse
import sys

from . import ARCHITECTURES, get_model, model_names, summary


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m deeprect_gluon.models",
        description=(__doc__ or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("name", help=f"one of {', '.join(model_names())}")
    add("--activation", default="prelu", help="prelu, prelu_shared or relu")
    add("--classes", type=int, default=1000)
    add("--in-channels", type=int, default=3)
    add("--input-size", type=int, default=224, help="pixels")
    add("--stem", default="imagenet", help="imagenet, or small_image for the small nets")
    add("--width", type=float, default=1.0, help="factor on the convolutions' filters")
    add("--hidden", type=int, nargs="+", default=[4096, 4096], help="units of the hidden layers")
    add("--pyramid", type=int, nargs="+", help="pooling levels (default: the published ones)")
    config = vars(parser.parse_args(arguments))
    try:
        net = get_model(**config)
    except ValueError as error:
        sys.exit(f"{parser.prog}: {error}")
    table = summary(net)
    print(table)
    published = ARCHITECTURES[net.config["name"]].multiply_adds
    if published and net.config == get_model(net.config["name"], net.config["activation"]).config:
        ratio = table.multiply_adds / published - 1
        print(
            f"\nmultiply-adds: {table.multiply_adds:.3e}; the paper's Table 3: {published:.2e} "
            f"(ours {ratio:+.1%})"
        )


if __name__ == "__main__":
    main()
