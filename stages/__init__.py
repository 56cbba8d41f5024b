"""The stages of dvc.yaml, one thin entry point each."""
