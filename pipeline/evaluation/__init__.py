"""Scores of readings, and the leaderboard."""
