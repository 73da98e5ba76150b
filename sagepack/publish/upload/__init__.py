"""Sending the parts of one object: made from contents, checked while they are sent, continued after a crash."""
