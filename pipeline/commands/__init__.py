"""What a person types; `make` calls these."""
