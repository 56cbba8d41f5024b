"""The precision of a training: what this machine's processor computes in, and what `auto` means."""

from pathlib import Path

from pipeline.config.types import Precision

BFLOAT16 = ("avx512_bf16", "amx_bf16")
"""The processor's instructions for bfloat16, under the names that Linux gives them."""


def bfloat16() -> list[str]:
    """Those of `BFLOAT16` that the processor has; none where the system does not list them, as only Linux does."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    return [flag for flag in BFLOAT16 if flag in flags]


def resolve(precision: Precision) -> str:
    """The Keras dtype policy for `precision`; `auto` is bfloat16 where the CPU, or a GPU, computes in it."""
    if precision != "auto":
        return precision
    # The doctor asks for `bfloat16` without TensorFlow.
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return "mixed_bfloat16"
    return "mixed_bfloat16" if bfloat16() else "float32"
