"""Waveforms on disk and at rest: decoding, encoding, resampling, levels; numpy arrays, no labels, no network."""
