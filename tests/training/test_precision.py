"""What `precision: auto` means, by the cards and the processor of a machine."""

import keras
import pytest
from keras import ops

from pipeline.training import loop
from pipeline.training.precision import Card, policy_of

VOLTA, TURING, AMPERE, BLACKWELL = (Card("a card", each) for each in ((7, 0), (7, 5), (8, 0), (12, 0)))
PASCAL, UNKNOWN = Card("a card", (6, 1)), Card("a card", None)


@pytest.mark.parametrize(
    ("cards", "instructions", "policy"),
    [
        ([], [], "float32"),
        ([], ["avx512_bf16"], "mixed_bfloat16"),
        ([PASCAL], [], "float32"),
        ([UNKNOWN], [], "float32"),
        ([VOLTA], [], "mixed_float16"),
        ([TURING], [], "mixed_float16"),
        ([AMPERE], [], "mixed_bfloat16"),
        ([BLACKWELL], [], "mixed_bfloat16"),
        # The least of the cards decides, and the processor does not.
        ([AMPERE, TURING], [], "mixed_float16"),
        ([TURING, PASCAL], ["amx_bf16"], "float32"),
    ],
)
def test_auto_is_what_the_machine_computes_fast(cards, instructions, policy):
    assert policy_of(cards, instructions) == policy


def test_under_float16_the_loss_is_scaled():
    scaled = loop._scaling(keras.optimizers.SGD(0.1), "mixed_float16")
    assert isinstance(scaled, keras.optimizers.LossScaleOptimizer)
    scaled.build([keras.Variable([1.0])])
    assert float(scaled.scale_loss(ops.ones(()))) > 1000
    plain = keras.optimizers.SGD(0.1)
    assert loop._scaling(plain, "mixed_bfloat16") is plain
