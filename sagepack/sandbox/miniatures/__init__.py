"""Small models with the files and tensor names of real ones; their bytes are the same on every machine."""
