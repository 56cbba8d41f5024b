"""Keras to ONNX, and the proof that both read alike."""
