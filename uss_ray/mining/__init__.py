"""Anchor mining: where in a weakly labelled clip is a class most probable."""
