"""Other ways to serve the same model, each as its own documentation suggests; `benchmarks.serving` runs them."""
