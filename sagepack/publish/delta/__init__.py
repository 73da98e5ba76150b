"""Which bytes of an object S3 copies from others, and which are sent. Pure."""
