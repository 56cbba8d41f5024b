"""Normalization, augmentation and region proposals."""
