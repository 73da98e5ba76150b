"""Documents that speak about a package: pure functions of its lock and manifest."""
