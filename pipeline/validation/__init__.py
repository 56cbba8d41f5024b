"""What a data set must satisfy before anything trains on it."""
