"""How a training program ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable

from .train.loop import Stopped


def run_program(main: Callable[[], None]) -> None:
    """Call a training script's `main`, and say in one line if it was stopped or has failed.

    Parameters
    ----------
    main : callable
        A stop that was asked for is no failure: the training continues with `--resume auto`.

    Raises
    ------
    SystemExit
        If the input was bad, a file or a peer failed, or the loss is not finite.
    """
    try:
        main()
    except Stopped as stopped:
        print(f"{stopped}; continue with --resume auto", file=sys.stderr)
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
