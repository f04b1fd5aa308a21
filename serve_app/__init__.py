"""The service for `serve run` and `serve deploy`."""
