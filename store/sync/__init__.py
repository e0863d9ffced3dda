"""A folder of skills and the library, kept in step."""
