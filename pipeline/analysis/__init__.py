"""What one score hides: which differences are real, where a model fails, what it costs, and which labels are wrong."""
