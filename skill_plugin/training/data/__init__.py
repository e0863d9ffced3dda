"""Histories become candidate groups with advantages."""
