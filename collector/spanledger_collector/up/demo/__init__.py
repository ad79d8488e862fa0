"""What `spanledger up --demo` adds: stand-in models, documents and traffic."""
