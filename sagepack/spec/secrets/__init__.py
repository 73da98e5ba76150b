"""The one detector of secrets: in values, by names, in the text of files, and by the names of files.

    values   what gives itself away by its form: tokens of services, private keys, addresses with a password
    names    what a name says about its value: `DB_PASSWORD`, `api_key`
    texts    both of them over a whole file
    programs the literals of a Python program, and their names
    files    files that hold secrets by convention: `.env`, `.netrc`, `id_rsa`

Everything here is pure, and nothing here gives back a secret: only what kind it is, and where it stands.
"""

from __future__ import annotations

# Bytes from the beginning of a file that are searched.
LIMIT = 1 << 20
# Raise it with every change of what is found: files that were searched before are then searched again.
VERSION = 1
