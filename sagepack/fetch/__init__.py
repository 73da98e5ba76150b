"""Getting a model's files: which ones, whether the bytes here are the right ones, and fetching the rest."""
