"""One module per API a caller or a provider may speak: read its requests, answers and errors."""
