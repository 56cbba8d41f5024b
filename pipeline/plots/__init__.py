"""Charts and picture sheets; equal input gives equal bytes."""
