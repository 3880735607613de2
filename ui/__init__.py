"""A chat in the browser over the service's HTTP API."""
