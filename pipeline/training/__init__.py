"""The fit loop and what surrounds it: recipes, objectives, precision, saved models."""
