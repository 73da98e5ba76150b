"""The archive (format 1): the position of every byte, writing and verifying it.

layout        the format, and the offset of every byte; `tar_header` and `framing` (of gzip) are its parts
writer        writes an archive from `source` files: `chunks`, `pipeline`, `sha256`, `crc32`, `output`
reuse         takes the beginning of the previous archive; `inplace` replaces only the end of its file
reader        verifies an archive against its manifest
"""
