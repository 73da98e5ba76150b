"""Publishing by a SageMaker Processing job in the region (`--remote`): what travels, the request, following it, its policies.

The job runs this program with `--stream` and the role of `remote.role`; the caller needs no permission to write packages.
"""
