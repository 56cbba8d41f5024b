"""The model registry: versions and stages as git tags that GTO and DVC read, promoted on evidence; docs/registry.md."""
