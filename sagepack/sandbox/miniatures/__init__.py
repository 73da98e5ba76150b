"""Models with the layout of real ones and weights of a few kilobytes, the same bytes at every run."""
