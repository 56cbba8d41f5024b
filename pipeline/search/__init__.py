"""Searches: Optuna suggests the params of the next experiments from the scores of the last ones."""
