"""The clone that a command runs in: git, DVC, command-line entry points."""
