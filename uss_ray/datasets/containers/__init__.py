"""One reader for each container that clips come in."""
