"""A bundle's network in another runtime's form."""
