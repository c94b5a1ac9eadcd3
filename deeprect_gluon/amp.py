"""Makes MXNet's automatic mixed precision (`mxnet.contrib.amp`) treat the operators rightly."""

from __future__ import annotations

from mxnet.contrib.amp.lists import symbol_bf16, symbol_fp16


def register(operator: str, half: bool) -> None:
    """Enter an operator in MXNet's lists.

    Under float16 it runs in the type its data arrive in, if it has code for both; it has no
    bfloat16 code, so under bfloat16 its inputs are cast to float32.

    Parameters
    ----------
    operator : str
        Its registered name.
    half : bool
        Whether it takes float16; otherwise its inputs are cast to float32.
    """
    (symbol_fp16.FP16_FP32_FUNCS if half else symbol_fp16.FP32_FUNCS).append(operator)
    symbol_bf16.FP32_FUNCS.append(operator)
