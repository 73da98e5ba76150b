"""Statements about a package for other tools, made from its lock and manifest."""
