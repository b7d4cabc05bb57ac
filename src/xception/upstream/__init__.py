"""Scripts for the environments of others: nothing here imports the rest of the package, nor a framework at the top."""
