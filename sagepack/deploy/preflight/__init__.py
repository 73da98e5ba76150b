"""What can be known in seconds of a deployment that takes an hour, before a byte is moved.

check       a check as a value
asking      checks that are to be made, and how they are made at the same time
judge       the facts in, a verdict out; pure
questions   asks AWS for the facts of each check

What no API tells beforehand (free capacity, whether the execution role may read the package, a container that does not start)
is told when it happens: see `deploy.error_hints`.
"""
