"""What a package consists of: its documents, and its archive.

revision      a model repository at one commit
lock          what a spec was resolved to: revision, files, image digest, requirements (which `requirements` resolves)
manifest      the members of a package with their digests; the manifest's own digest is the identity of the package
contents      the manifest of a lock and a code folder
archive       model.tar.gz: the position of each byte, writing, updating and verifying it
attest        what is said of a package (provenance, bill of materials), and signatures
"""
