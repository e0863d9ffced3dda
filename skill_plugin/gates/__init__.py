"""Rules that decide what goes live: versions of skills and checkpoints of the generator."""
