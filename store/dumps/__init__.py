"""A whole store as one file."""
