"""Where bytes live: local folders and object stores alike, and the cache of fetched files; no torch, no audio."""
