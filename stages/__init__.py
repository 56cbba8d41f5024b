"""The stages of dvc.yaml, one thin entry point each."""

from pipeline.project import environment

environment.settle()
