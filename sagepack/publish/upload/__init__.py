"""The upload of one object: its parts are made from contents, checked while they are sent, and continued after a crash."""
