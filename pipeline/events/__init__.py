"""The events of the registry, as git tags: read, chained by hash, signed, and shared between clones."""
