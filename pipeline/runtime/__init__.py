"""Exported models at work: ONNX Runtime, and answers made of readings."""
