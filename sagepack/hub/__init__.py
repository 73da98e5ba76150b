"""The Hugging Face Hub, and the cache of its files on this machine. Every byte is checked before it is used.

client         the requests to the Hub: `http` and `sockets` send them, `range_reader` reads files (`xet`: from Xet storage),
               `responses` parses and checks what comes back, `refusals` turns error responses into messages, `address` says
               where the Hub is
selection      which files of a repository a package takes (`weight_names`); `lock_files` finds their digests for the lock
cache          the paths of the Hugging Face cache; `cache_status` finds the files in it, `hash_cache` remembers digests
folder         a folder of this machine in the place of a repository and its cache
download       fetches missing files: `scheduler` runs all of them, `file_download` one, in ranges; `task`, `partial`
"""

CONNECTIONS = 8  # most connections to the Hub at once, where nothing else is said
