"""What is shipped: manifests and the bento."""
