"""What runs, in which order, and why.

plan        facts in, a list of actions out; pure
executor    gathers the facts, asks the plan, runs the actions
steps       lock, download, assemble, checksum, tar, upload, deploy: one short file each
context     one run: the spec, where its files lie (`workspace`), what steps did last (`records`), the `clients`
resolver    from a spec to a lock; `verify` checks the artifact on this disk
preflight   what is checked before work begins, and by `doctor`; `policies` are the IAM policies of a spec
"""
