"""Weights folders: their format, where they are found, and importers of published files."""
