"""Importers of published checkpoints into weights folders."""
