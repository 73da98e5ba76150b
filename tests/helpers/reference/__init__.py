"""The pages of `docs/reference/`, made from the program: its spec, its tasks, its documents and its Python API."""
