"""The archive of format 1: where every byte lies (layout), writing it (writer), checking it (reader).

    framing, header -> layout -> plan -> writer -> reuse
                             `-> reader

`layout` documents the format. Nothing here knows of specs, steps, or the network.
"""
