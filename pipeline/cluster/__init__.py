"""Runs of the pipeline on a Ray cluster: which stages are left, where they run, and what they leave in the remote."""
