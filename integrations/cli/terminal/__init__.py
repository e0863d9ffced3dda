"""The terminal that commands share: options, texts, tables, progress."""
