"""Statements about a package for other tools, made from its lock and manifest, and their signatures.

`dsse` is the envelope of any statement, `keys` signs and verifies, `oms` and `provenance` are statements; `sbom` is the
bill of materials.
"""
