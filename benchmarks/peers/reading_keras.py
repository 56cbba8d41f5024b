"""A test split read by the trained model with Keras's `predict`; it also counts the floating-point operations."""

import keras
import numpy as np
import tensorflow as tf

import pipeline.layers  # noqa: F401  registers the layers that a saved model may name
from benchmarks.rounds import Rounds


def main() -> None:
    """Answer rounds until the last."""
    rounds = Rounds()
    given = rounds.settings
    with np.load(given["split"]) as arrays:
        images, labels = arrays["images"][: given["pictures"]], arrays["labels"][: given["pictures"]]
    model = keras.saving.load_model(given["model"], compile=False)
    # `predict` may compile the model as `fit` would; what decides is set by `compile`, which Keras expects anyway.
    model.compile()

    def work() -> float:
        return len(model.predict(images, batch_size=given["batch"], verbose=0)["classes"])

    classes = model.predict(images, batch_size=given["batch"], verbose=0)["classes"]
    right = np.all(classes == labels, axis=1).mean()
    rounds.serve(work, keras=keras.__version__, exact_match=float(right), flops=_operations(model))


def _operations(model: keras.Model) -> int:
    """Floating-point operations of one picture, as TensorFlow's profiler counts them in the graph."""
    profiler = tf.compat.v1.profiler
    graph = tf.function(lambda images: model(images, training=False)).get_concrete_function(
        tf.TensorSpec((1, *model.input_shape[1:]), model.inputs[0].dtype)
    )
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    return profiler.profile(graph.graph, options=options.with_empty_output().build()).total_float_ops


if __name__ == "__main__":
    main()
