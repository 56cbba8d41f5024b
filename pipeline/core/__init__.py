"""Foundations that every other package shares: errors, files, picture sets, readings, decoding."""
