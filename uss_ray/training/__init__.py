"""Training steps and recipes in plain torch."""
