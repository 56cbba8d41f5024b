"""What one stage writes and another reads: frozen pydantic models, each defined once."""
