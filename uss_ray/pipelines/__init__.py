"""Whole jobs: they find the data, hand it to the algorithms, commit the results. The only code that imports Ray."""
