"""From the deployment of a package to an endpoint that serves it.

deployment     everything an endpoint should be, and the requests for it; `scaling` for its automatic scaling
observe        what is live, as AWS describes it
drift          how that differs from the deployment, and what has to be changed; pure
reconcile      make the changes, and check what serves afterwards; `waiter` waits, `error_hints` explains refusals
predict        send a request and wait for its result, which `results` writes to files; `base64_frames` is one format
request        what can be checked of a request before it is sent; `sent` remembers it, `failure` tells why it failed
batch          many requests, a few of them in the queue at a time
preflight/     what can be known before an hour of waiting, as checks
iam_policy     the permissions that deploying, requests and the execution role need
destroy        remove an endpoint and everything that was made for it
"""
