"""A chat in the browser with every taught language: talks to the API over HTTP alone."""
