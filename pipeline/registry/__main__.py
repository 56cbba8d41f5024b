"""`python -m pipeline.registry`."""

from pipeline.registry.cli import main

main()
