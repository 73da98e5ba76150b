"""Publishing to S3: S3 copies what it already has, only the rest is sent, and S3 proves that the result is right.

    keys, checksums              where everything lies, and its checksums
    documents, release           the documents that say so; `sealed` makes damage to them visible
    signatures                   who vouches for a package and its release
    verified                     what this machine knows of objects in S3, by ETag
    observe -> observation       what S3 holds, and what binds it to the SHA-256 of its contents; `pointers` of many contents
    delta/, planner              pure: which bytes are copied, which are sent, in which parts (`archive_plan`, `prefix_plan`)
    publisher                    carries out a plan: `archive` or `prefix` upload the model, then come the documents
    upload/                      one object: `sources` -> `part_body` -> `transfer` -> `multipart`, with `journal`, `verifier`
                                 and `proof`, which reads what nothing binds before S3 copies it
                                 by several processes or machines: `units` -> `unit_text` -> `unit_work`, led by `divided` and
                                 `leading`, with what lies in S3 meanwhile in `shared`
    remote_check, remote_read    whether what S3 holds is what was published; `gate` whether it is what was signed, without reading it
    signing                      signs a package that is published already
    cleanup, iam_policy          uploads that nobody continues; the permissions that publishing needs

**Why a kill cannot spoil anything.** Only S3 holds the state of a publication; the journal merely saves work.

1. The key of the archive contains the digest of the manifest, and one conditional CompleteMultipartUpload
   (`IfNoneMatch: *`) writes it. Before that request the key does not exist; after it the object is complete. Nothing is
   ever overwritten, so what an endpoint loads never changes.
2. That request carries the checksum of the full object. It is computed from the checksums of the contents and the
   arithmetic of the layout, not from the parts. S3 compares it with the bytes it has, copied and sent, and refuses others.
   The checksums of contents come from bytes whose SHA-256 was checked, now or when they were first published.
3. A copy is conditioned on the ETag of the object that was seen (`CopySourceIfMatch`). If that object was deleted or
   replaced, the upload is aborted and planned again without it.
4. Index, manifest, provenance and bill of materials, then pointers, then the release record are written after the archive. Whoever reads
   a pointer or an index also looks for the archive, and ignores the document if the archive does not exist. So a document
   that is missing after a kill, or that is left over, costs bytes and never correctness. The release record is last: it
   says that everything else is there.
5. A killed upload leaves parts that are not visible as objects. The next run asks S3 which parts it has (ListParts), keeps
   those whose ETag is in the journal, and sends the others. Without the journal it starts a new upload; `cleanup` finds
   the old one. After a kill between the completed archive and the release record, the next run finds the archive and
   writes the documents that are missing.
6. Two publishers of the same package make two uploads. S3 completes one of them and answers 412 to the other, which then
   checks that the object is the expected one and continues. A provenance or bill of materials that tells of the same build is
   left as the first of them wrote it, and both releases list that one.
"""
