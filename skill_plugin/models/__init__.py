"""Language models and their files: chat models, base models, adapters."""
