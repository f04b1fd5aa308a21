"""Weakly labelled data sets in AudioSet's format."""
