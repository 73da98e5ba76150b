"""A Hugging Face Hub on this machine: its API, gates, redirects and ranges, over repositories of made-up models."""
