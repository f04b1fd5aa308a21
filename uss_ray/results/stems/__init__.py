"""Stems on their way to their files."""
