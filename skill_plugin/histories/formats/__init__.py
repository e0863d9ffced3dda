"""The formats of recorded histories that can be imported."""
