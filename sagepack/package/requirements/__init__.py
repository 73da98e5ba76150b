"""The packages that `code.requirements` adds to the image: found, locked, fetched, and listed for the container's pip.

index    the package index that this machine is configured for, and requests to it
uv       `uv pip compile` for the image's Python: names, versions and files
wheels   the wheel that pip would take, the modules in it, and its bytes
explain  why requirements that cannot be met cannot, in words
resolve  all of it: from the lines of a spec to the packages of a lock
listing  `code/requirements.txt`
"""
