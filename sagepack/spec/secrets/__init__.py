"""The one detector of secrets, for specs, code, samples and messages.

    values    secrets recognised by their form: tokens of services, private keys, URLs with a password
    names     names of secrets: `DB_PASSWORD`, `api_key`
    programs  the literals of a Python program and their names
    texts     the content of a file, by `values`, `names` and `programs`
    files     files that contain secrets by convention: `.env`, `.netrc`, `id_rsa`

All functions are pure. None returns a secret: only its kind and its place.
"""

from __future__ import annotations

# How many bytes of a file are searched, from its beginning.
LIMIT = 1 << 20
# Increase it with every change of what is found, so that files without findings are searched again.
VERSION = 1
