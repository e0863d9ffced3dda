"""SKILL.md texts: their format, folders, edits, metadata and what is forbidden in them."""
