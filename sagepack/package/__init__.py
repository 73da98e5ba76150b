"""What a package is, on paper and in bytes.

lock          what a spec stands for: commit, files, image digest, requirements; `requirements` resolves the last
contents      the members of a package: the locked files, and the code beside them
manifest      every member with its digest; the manifest's own digest is the identity of a package
archive       model.tar.gz: where each byte lies, writing it, changing it in place, reading it
attest        documents that speak about a package (provenance)
"""
