"""What the service is made of, one noun a module: limits, refusals, uploads, the desk where pictures wait, metrics."""
