"""Files of a training run: snapshots, metrics, manifest."""
