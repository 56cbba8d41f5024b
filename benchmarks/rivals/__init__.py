"""Other ways to serve the same model, each as its own documentation would have it; `benchmarks.serving` runs them."""
