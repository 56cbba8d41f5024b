"""The preprocessing of a pretrained network, inside the model, so that a model takes raw pictures."""

import keras
from keras import ops

from pipeline.layers.normalization import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class CaffePreprocessing(keras.layers.Layer):
    """RGB on the scale 0 to 255, uint8 or float (n, H, W, 3) -> BGR less ImageNet's mean colour, float, same shape.

    The `caffe` mode of `keras.applications`: what VGG16's weights were trained with (Simonyan and Zisserman 2014,
    section 2.1). The scale stays 0 to 255.
    """

    def call(self, images):
        # Keras does not cast integer inputs of a layer, and subtracting the mean from uint8 would wrap around.
        pictures = ops.cast(images, self.compute_dtype)
        return keras.applications.vgg16.preprocess_input(pictures, data_format="channels_last")

    def compute_output_shape(self, shape):
        return shape
