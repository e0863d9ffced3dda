"""Reading, exporting, importing and counting recorded histories."""
