"""Publishing to S3: what S3 holds already is copied by S3, only the rest is sent, and S3 proves the result.

    keys, sums                   what lies where, and its checksums
    sealed -> index, release     the documents that say so
    matching -> planner -> plan  pure: which bytes are copied, which are sent, in which parts
    verified                     what this machine knows of objects in S3, by ETag
    observe                      what S3 holds, and what binds it to the SHA-256 of its contents
    proof                        reading what nothing binds, before S3 copies it
    sources -> render            the bytes of a part
    journal, ledger -> multipart -> publisher
    remote_check -> remote_read  whether what S3 holds is what was published

**Why a kill cannot spoil anything.** The state of a publication is S3's alone; the journal only saves work.

1. The archive's key holds the digest of the manifest and is written by one conditional CompleteMultipartUpload
   (`IfNoneMatch: *`). Before it the key does not exist; after it the object is whole. Nothing is ever overwritten, so
   what an endpoint loads stays what it was.
2. That request carries the checksum of the full object, computed from the sums of the contents and from the arithmetic
   of the layout, not from the parts. S3 compares it with the bytes it has, copied and sent, and refuses others. Sums of
   contents come from bytes whose SHA-256 was checked, now or when they were first published.
3. A copy is conditioned on the ETag of the object that was seen (`CopySourceIfMatch`). If that object is gone or
   another, the upload is dropped and planned anew without it.
4. Index, pointers, manifest, provenance and release record are written after the archive, in this order. Whoever reads
   a pointer or an index looks at the archive too and takes it for a miss if that is not there; so one that a kill left
   out, or that outlived its archive, costs bytes, never correctness. The release record is last: it says all is there.
5. A killed upload leaves parts that nobody sees. The next run asks S3 which parts it has (ListParts), takes those whose
   ETag the journal knows, and sends the others. Without the journal it starts a new upload; `stale` finds the old one.
   Killed after the archive was completed, the next run finds it and writes what is missing beside it.
6. Two publishers of a package make two uploads; S3 lets one complete and answers 412 to the other, which checks that the
   object is the one it meant and goes on.
"""
