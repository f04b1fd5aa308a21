"""A package, so that this folder is found before the ones that other packages leave in site-packages as ``tests``."""
