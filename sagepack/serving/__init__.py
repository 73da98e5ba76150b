"""A package under the image's real serving stack, without docker: for `serve`, and for the endpoints of the sandbox.

Where packages come from is the caller's choice, so nothing here knows S3, a spec or moto.
"""
