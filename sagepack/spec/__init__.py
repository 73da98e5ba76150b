"""What the user declares: the spec and the files that it names, read, merged with overlays, and validated.

model       the spec as frozen dataclasses; each field is a key of the spec, and `keys` reads everything else off the fields
loader      reads the spec, the overlay of the environment and `--set` into nodes that know their place (`yaml_nodes`)
merge       merges two layers of nodes
document    the merged data, where each value was written, and the `Spec` that it makes
validate    checks a document: schema, required keys, `rules`; reports all mistakes at once
code_tree   the folder of inference code, file by file
inspection  hashes files and searches them for what must not be published
secrets     the detector of secrets
images      AWS's registries and container images
"""
