"""The books: what finance decides over what the store holds, put together for the API, commands, workers and pages."""
