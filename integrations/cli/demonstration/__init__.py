"""The demonstration: the whole loop on this machine, with a real small model, or faster with simulated ones."""
