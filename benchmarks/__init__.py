"""Measurements that the documents quote; each prints what it measured."""

from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
"""The page that the benchmarks of serving write their tables into."""
