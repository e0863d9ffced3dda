"""Replay: what `evolve` would have done for an agent's recorded failures, in a store of its own, within a cap of model calls."""
