"""The precision of a training: what this machine's cards or processor compute in, and what `auto` means."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.types import Precision

BFLOAT16 = ("avx512_bf16", "amx_bf16")
"""The processor's instructions for bfloat16, under the names that Linux gives them."""


@dataclass(frozen=True)
class Card:
    """A graphics card.

    Attributes:
        name: what its maker calls it.
        capability: NVIDIA's compute capability, (8, 0) of an A100; None of a card without one.
    """

    name: str
    capability: tuple[int, int] | None


def bfloat16() -> list[str]:
    """Those of `BFLOAT16` that the processor has; none where the system does not list them, as only Linux does."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    return [flag for flag in BFLOAT16 if flag in flags]


def policy_of(cards: Sequence[Card], instructions: Sequence[str]) -> str:
    """The Keras dtype policy that `auto` means on a machine.

    Tensor cores compute in float16 from compute capability 7.0 on (Volta), and in bfloat16 from 8.0 on (Ampere). With
    float16 the loss is scaled (Micikevicius et al. 2018), which `loop.fit` does.

    Args:
        cards: that TensorFlow sees. The least of them decides.
        instructions: those of `BFLOAT16` that the processor has; they decide where there is no card.
    """
    if not cards:
        return "mixed_bfloat16" if instructions else "float32"
    least = min(card.capability or (0, 0) for card in cards)
    if least >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if least >= (7, 0) else "float32"


def resolve(precision: Precision) -> str:
    """The Keras dtype policy for `precision`; `auto` is that of `policy_of` on this machine."""
    return policy_of(_visible(), bfloat16()) if precision == "auto" else precision


def _visible() -> list[Card]:
    """The cards that TensorFlow can use."""
    # The doctor asks for `policy_of` without TensorFlow.
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [Card(each.get("device_name", "unknown"), each.get("compute_capability")) for each in details]
