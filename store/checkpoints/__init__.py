"""The registry of trained generators."""
