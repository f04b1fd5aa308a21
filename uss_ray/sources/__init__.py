"""Where the recordings of an archive come from: folders, prefixes, manifests and inventories."""
