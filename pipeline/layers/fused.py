"""Batch normalization in one kernel; Keras 3 uses some ten operations, which took a fifth of a training step."""

import keras
import tensorflow as tf
from keras import layers

from pipeline.layers.normalization import PACKAGE

BLOCK = 16
"""Channels that the kernel processes at once."""


@keras.saving.register_keras_serializable(PACKAGE)
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras's layer; during training it calls TensorFlow's `FusedBatchNormV3`, as Keras 2 did.

    Weights and outputs are the same up to rounding. bfloat16 enters the kernel as it is where that is fast; the
    statistics are float32. Keras computes what the kernel does not support (an axis other than the last, masks,
    renormalization, synchronized replicas), and inference: a saved or exported model has the plain operations.

    Args:
        momentum: of the moving statistics: a short training has too few steps for Keras's 0.99.
        kwargs: as Keras has them.
    """

    def __init__(self, *, momentum: float = 0.9, **kwargs):
        super().__init__(momentum=momentum, **kwargs)

    def call(self, inputs, training=None, mask=None):
        last = self.axis in (-1, len(inputs.shape) - 1)
        plain = last and mask is None and self.scale and self.center and not (self.renorm or self.synchronized)
        if not (plain and training and self.trainable and len(inputs.shape) <= 4):
            return super().call(inputs, training=training, mask=mask)
        # The kernel takes four dimensions; which of them are rows and columns makes no difference.
        shape = tf.shape(inputs)
        pictures = tf.reshape(inputs, (-1, 1, 1, inputs.shape[-1])) if len(inputs.shape) < 4 else inputs
        # In bfloat16 the CPU's kernel took five times as long as this detour where 16 does not divide the channels.
        detour = inputs.shape[-1] % BLOCK != 0
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.cast(pictures, "float32") if detour else pictures,
            scale=self.gamma,
            offset=self.beta,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel's variance is that of a sample; Keras's moving one is that of the batch.
        count = tf.cast(tf.size(pictures) // tf.shape(pictures)[-1], tf.float32)
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance * (count - 1) / count)):
            moving.assign(moving * self.momentum + new * (1 - self.momentum))
        return tf.reshape(tf.cast(outputs, inputs.dtype), shape)


def activated(x: keras.KerasTensor, activation: str = "relu", name: str | None = None) -> keras.KerasTensor:
    """Batch normalization of the last axis, by this name, then the activation."""
    return layers.Activation(activation)(FusedBatchNormalization(name=name)(x))
