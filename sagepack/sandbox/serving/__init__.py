"""A package under the image's real serving stack, without docker. Where packages come from is the caller's choice."""
