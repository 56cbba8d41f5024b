"""Network parts that several strategies share."""
