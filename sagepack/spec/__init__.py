"""What the user declared: the spec read, merged with its overlays, judged, and given to all the rest as frozen values.

loader      reads the spec, the overlay of the environment and `--set`, as nodes that know their place (`yaml_nodes`)
merge       lays one map over another
document    the merged data, where each value was written, and its `Spec` (`model`)
validate    judges a document: the schema, what must be there, and `rules`; all that is wrong at once
code_tree   the folder of inference code, file by file; `inspection` looks for what must not be published
secrets     what looks like a secret, in names, values, texts and programs
images      AWS's registries and container images
"""
