"""The service: packaged models over HTTP. `app` makes the application, `service` mounts it in BentoML."""
