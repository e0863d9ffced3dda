"""What commands share of the terminal: options, texts, tables, progress."""
