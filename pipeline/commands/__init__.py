"""What a person types; `make` calls these."""

from pipeline.project import environment

environment.settle()
