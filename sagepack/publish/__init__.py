"""Publishing to S3 in kilobytes: see the modules."""
