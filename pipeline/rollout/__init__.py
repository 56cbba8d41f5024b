"""New models in a running service: swapped, compared beside the old ones, or given a share of the requests."""
