"""Deployment: what an endpoint should be, what it is, and the way from one to the other."""
