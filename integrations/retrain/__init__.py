"""The `retrain` job: histories, training, gate, promotion."""
