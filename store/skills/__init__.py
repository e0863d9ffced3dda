"""The skills of the library: their rows, versions, pruning, lift and files."""
