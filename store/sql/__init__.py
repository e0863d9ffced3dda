"""The database itself: connections to SQLite and PostgreSQL, its files, and who may write."""
