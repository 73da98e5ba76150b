"""Where the model comes from: asking the Hugging Face Hub, and getting files into its cache, every byte checked.

client         what the Hub is asked, over `http` (`sockets`, `refusals`), answers in `responses`
selection      which files of a repository are taken; `lock_files` names their contents for the lock
cache          the layout of the Hugging Face cache; `cache_status` what of it is here, `hash_cache` what is known of it
download       fetching what is missing: `scheduler`, `file_download`, `task`, `partial`, `range_reader`
"""
