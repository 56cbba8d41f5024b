"""What the served models answer over time: the log of predictions, what is deleted from it, and drift."""
